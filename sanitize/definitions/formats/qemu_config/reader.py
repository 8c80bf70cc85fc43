"""A machine in the file that ``qemu -readconfig`` reads.

References: qemu(1) on -readconfig; QEMU config/*.cfg and docs/config/*.cfg.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Definition, Leaf
from unclone.sanitize.definitions.formats.qemu import files
from unclone.sanitize.definitions.formats.qemu.fields import cards, disks, found, option_leaves
from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
from unclone.sanitize.definitions.formats.qemu_config import FORMAT
from unclone.sanitize.definitions.formats.qemu_config.config_file import read_groups
from unclone.sanitize.definitions.formats.qemu_config.rules import RULES
from unclone.sanitize.definitions.rule import FieldKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.text.source import Source

_NO_UUID = (
    "QEMU takes the UUID and SMBIOS values from its command line (-uuid, -smbios) and not from "
    "this file: change them there too"
)


def read(source: Source) -> Definition:
    """The machine in *source*."""
    machine = MachineOptions(read_groups(source), source.text, starts=False)
    if not machine.options:
        raise RefusedError(f"{source.shown} has no group", hint="Is the file complete?")
    fields, notes = found(RULES, machine)
    firmware = [each.field.value for each in fields if each.field.rule.kind is FieldKind.FIRMWARE]
    names = [option.get("guest") for option in machine.options if option.name == "name"]
    notes.append(Note("smbios-uuid", Level.INFO, _NO_UUID))
    return ConfigFile(
        FORMAT,
        source,
        next(iter(names), ""),
        tuple(each.field for each in fields),
        tuple(disks(machine)),
        None,
        (*notes, *files.variable_notes(source, firmware)),
        tuple(cards(machine, fields)),
        machine,
    )


@dataclass(frozen=True)
class ConfigFile(Definition):
    """A machine in such a file."""

    machine: MachineOptions = field(default_factory=lambda: MachineOptions((), ""))

    def leaves(self) -> Iterator[Leaf]:
        """Every key of every group."""
        return option_leaves(self.machine)

    def associated_files(self, plan: DefinitionPlan, output: Path) -> Sequence[AssociatedFile]:
        """The UEFI variables, where they are files that are there."""
        return tuple(files.copies(plan, output))
