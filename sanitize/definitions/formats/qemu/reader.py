"""A QEMU command line: a shell script that starts one machine, or only the line.

Nothing is executed; shell.py reads the script. Where an identity is assigned to a variable, the
assignment is changed.

References: qemu(1), QEMU 4.2 to 10.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.definition import Definition, Leaf
from unclone.sanitize.definitions.formats.qemu import FORMAT, files
from unclone.sanitize.definitions.formats.qemu.fields import (
    Found,
    cards,
    disks,
    found,
    option_leaves,
)
from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
from unclone.sanitize.definitions.formats.qemu.options import read_options
from unclone.sanitize.definitions.formats.qemu.rules import RULES
from unclone.sanitize.definitions.formats.qemu.seed_drive import seed_drive
from unclone.sanitize.definitions.formats.qemu.shell import commands
from unclone.sanitize.definitions.formats.qemu.virtio import moved
from unclone.sanitize.definitions.rule import FieldKind
from unclone.sanitize.definitions.text.splicing import Edit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan, Moved
    from unclone.sanitize.definitions.formats.qemu.shell import Command
    from unclone.sanitize.definitions.formats.qemu.words import Word
    from unclone.sanitize.definitions.text.source import Source

_PROGRAM = re.compile(r"(?:.*/)?(?:qemu-system-[A-Za-z0-9_]+|qemu-kvm|kvm)(?:-[0-9.]+)?")
#: What stands before a program and starts it.
_STARTERS = frozenset(
    (
        *("exec", "sudo", "doas", "env", "nohup", "nice", "ionice", "chrt", "taskset", "numactl"),
        *("setsid", "setpriv", "systemd-run", "time", "timeout", "screen", "tmux", "stdbuf"),
        *("unshare", "ip", "cgexec", "prlimit", "if", "then", "else", "do", "{", "!"),
    )
)


def read(source: Source) -> Definition:
    """The one machine that the script starts."""
    starting = [words for each in commands(source) if (words := _arguments(each))]
    if len(starting) != 1:
        how = "starts QEMU nowhere that can be read" if not starting else "starts QEMU"
        times = f" {len(starting)} times" if starting else ""
        raise RefusedError(
            f"{source.shown} {how}{times}: one machine is one command",
            hint="Give a file with the one command that starts the machine.",
        )
    machine = MachineOptions(read_options(starting[0], source.position), source.text)
    fields, notes = found(RULES, machine)
    firmware = [each.field.value for each in fields if each.field.rule.kind is FieldKind.FIRMWARE]
    names = [o.get("guest") for o in machine.options if o.name == "name"]
    return CommandLine(
        FORMAT,
        source,
        next((name for name in names if "\0" not in name), ""),
        tuple(each.field for each in fields),
        tuple(disks(machine)),
        files.activity(source, machine),
        (*notes, *files.variable_notes(source, firmware)),
        tuple(cards(machine, fields)),
        machine,
        tuple(fields),
    )


@dataclass(frozen=True)
class CommandLine(Definition):
    """A machine that a command line starts."""

    machine: MachineOptions = field(default_factory=lambda: MachineOptions((), ""))
    found: tuple[Found, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every key of every option."""
        return option_leaves(self.machine)

    def associated_files(self, plan: DefinitionPlan, output: Path) -> Sequence[AssociatedFile]:
        """The UEFI variables, where they are files that are there."""
        return tuple(files.copies(plan, output))

    def write(self, edits: Sequence[Edit], output: BinaryIO) -> None:
        """Write it; what stays does so even where a variable in it changes."""
        changed = {(edit.start, edit.end) for edit in edits}
        stays = [
            Edit(place.start, place.end, place.spell(each.field.value))
            for each in self.found
            if (place := each.place) is not None
            and (place.start, place.end) not in changed
            and any(start <= at[0] < end for at in place.depends for start, end in changed)
        ]
        super().write([*edits, *stays], output)

    def seed_drive(self, path: str) -> Sequence[Edit]:
        """A CD drive, where that of a PC is free."""
        return seed_drive(self.machine, path)

    def virtio(self) -> Moved:
        """Disks and cards as virtio devices."""
        return moved(self.source, self.machine)


def _arguments(command: Command) -> list[Word]:
    """The arguments of QEMU, where the command starts it to run a machine."""
    for number, word in enumerate(command.words):
        if _PROGRAM.fullmatch(word.value):
            before = [each.value for each in command.words[:number]]
            arguments = command.words[number + 1 :]
            starts = not before or before[0] in _STARTERS
            return arguments if starts and _runs(arguments) else []
    return []


def _runs(arguments: list[Word]) -> bool:
    words = [word.value for word in arguments]
    asks = {"-version", "--version", "-h", "-help", "--help", "help", "?"}
    return bool(words) and not asks & set(words) and not words[-1].endswith(("=help", ",help"))
