"""A bhyve command line: a shell script that starts one machine, or only the line.

Nothing is executed; the script is read as one with a QEMU command is. The commands that load or
remove the machine (bhyveload, grub-bhyve, bhyvectl) follow its name.

References: bhyve(8), bhyveload(8), bhyvectl(8) of FreeBSD 14.3; grub-bhyve(1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Active, Card, Definition, Disk, Field, Leaf
from unclone.sanitize.definitions.formats.bhyve import FORMAT
from unclone.sanitize.definitions.formats.bhyve.rules import RULES
from unclone.sanitize.definitions.formats.qemu import files
from unclone.sanitize.definitions.formats.qemu.fields import Found
from unclone.sanitize.definitions.formats.qemu.reader import CommandLine
from unclone.sanitize.definitions.formats.qemu.shell import commands
from unclone.sanitize.definitions.rule import FieldKind, Treatment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.sanitize.definitions.definition import Moved
    from unclone.sanitize.definitions.formats.qemu.words import Word
    from unclone.sanitize.definitions.rule import Rule
    from unclone.sanitize.definitions.text.source import Source

PREFIX = bytes.fromhex("589cfc")
_PROGRAM = re.compile(r"(?:.*/)?(bhyve|bhyveload|grub-bhyve|bhyvectl)")
_STARTERS = frozenset(
    (
        *("exec", "sudo", "doas", "env", "nohup", "nice", "cpuset", "daemon", "time", "timeout"),
        *("if", "then", "else", "do", "while", "until", "{", "!"),
    )
)
#: The options that take an argument.
_ARGUMENTS = {"bhyve": "cfGkKlmnoprsU", "bhyveload": "cdeEhlm", "grub-bhyve": "cdemrM"}
_KINDS = {
    **dict.fromkeys(("virtio-net", "e1000", "ptnet"), "net"),
    **dict.fromkeys(("virtio-blk", "ahci", "ahci-hd", "nvme"), "disk"),
}
#: Kinds of networks, whose names say nothing of the host.
_BACKENDS = {"netgraph", "slirp"}
_PORT = re.compile(r"(?:.*:)?w?(\d{1,5})")
_SECRETS = {"graphics-password", "firmware-configuration"}
_RULES: dict[str, Rule] = {where: rule for rule in RULES for where in rule.where.split(" | ")}


class Part(NamedTuple):
    """A part of an argument: ``place`` as rules write it, characters of *word*'s value."""

    place: str
    value: str
    start: int
    end: int
    word: Word
    slot: str = ""


def read(source: Source) -> Definition:
    """The one machine that the script starts."""
    started = [each for each in _started(source) if each[0] == "bhyve"]
    if len(started) != 1:
        how = f"starts bhyve {len(started)} times" if started else "starts bhyve nowhere"
        raise RefusedError(
            f"{source.shown} {how}: one machine is one command",
            hint="Give a file with the one command that starts the machine.",
        )
    parts = list(_parts(*started[0]))
    name = next((part.value for part in parts if part.place == "name"), "")
    if not name or "\0" in name:
        raise RefusedError(
            f"{source.shown}: the name at the end of the bhyve command cannot be read",
            hint="Write the name as a word, or assign it to a variable once.",
        )
    for program, words in _started(source):
        if program != "bhyve":
            loaded = list(_parts(program, words))
            if any(part.place == "name" and part.value == name for part in loaded):
                parts += [part for part in loaded if part.place in ("name", "-d")]
    found: list[Found] = []
    notes: list[Note] = []
    for part in parts:
        rule = _RULES.get(part.place) or _RULES.get(f"{part.place.rpartition(' ')[0]} *")
        if rule and part.value not in ("", *_BACKENDS):
            each = _field(rule, part)
            (notes if isinstance(each, Note) else found).append(each)  # type: ignore[arg-type]
    firmware = [each.field.value for each in found if each.field.rule.kind is FieldKind.FIRMWARE]
    resumed = any(part.place == "-r" for part in parts)
    return Bhyve(
        FORMAT,
        source,
        name,
        tuple(sorted((each.field for each in found), key=lambda field: field.start)),
        tuple(_disks(found)),
        Active("-r makes it go on with a saved state", running=False) if resumed else None,
        (*notes, *files.variable_notes(source, firmware)),
        tuple(_cards(parts)),
        found=tuple(found),
        parts=tuple(parts),
    )


@dataclass(frozen=True)
class Bhyve(CommandLine):
    """A machine that a bhyve command starts."""

    parts: tuple[Part, ...] = ()

    def leaves(self) -> Iterator[Leaf]:
        """Every part of every argument."""
        for part in self.parts:
            place = part.word.place(part.start, part.end)
            start, end = (place.start, place.end) if place else (part.word.start, part.word.end)
            yield Leaf(part.place, part.value, start, end)

    def virtio(self) -> Moved:
        """Not here. Raises RefusedError."""
        return Definition.virtio(self)


def _started(source: Source) -> Iterator[tuple[str, list[Word]]]:
    """The programs of bhyve that the script starts, with their arguments."""
    for command in commands(source):
        for number, word in enumerate(command.words):
            program = _PROGRAM.fullmatch(word.value)
            if program is None:
                continue
            if number == 0 or command.words[0].value in _STARTERS:
                yield program[1], command.words[number + 1 :]
            break


def _parts(program: str, words: Sequence[Word]) -> Iterator[Part]:
    taking = _ARGUMENTS.get(program, "")
    waiting = ""
    for word in words:
        value = word.value
        if waiting:
            yield from _of_option(waiting, word, 0)
            waiting = ""
        elif program == "bhyvectl":
            at = value.find("=") + 1
            if value.startswith("--vm="):
                yield Part("name", value[at:], at, len(value), word)
        elif value.startswith("-") and len(value) > 1:
            at = next((n for n, c in enumerate(value) if n and c in taking), 0)
            if at and at + 1 < len(value):
                yield from _of_option(value[at], word, at + 1)
            elif at:
                waiting = value[at]
        else:
            yield Part("name", value, 0, len(value), word)


def _of_option(option: str, word: Word, start: int) -> Iterator[Part]:
    """The argument of *option*, from *start* in its word, in its parts."""
    value = word.value[start:]
    if option not in "sl":
        begin = 0
        if option == "G" and (port := _PORT.fullmatch(value)):
            begin = port.start(1)
        yield Part(f"-{option}", value[begin:], start + begin, start + len(value), word)
        return
    pieces = list(re.finditer("[^,]+", value))
    slot = pieces[0][0] if option == "s" and pieces else ""
    rest = pieces[1:] if slot else pieces
    if not rest:
        return
    emulation = rest[0][0]
    kind = _KINDS.get(emulation, emulation)
    for number, piece in enumerate(rest[1:], 1):
        key, sign, said = piece[0].partition("=")
        drive, colon, path = piece[0].partition(":")
        if kind == "disk" and colon and drive in ("hd", "cd"):
            key, said = drive, path
        elif not sign:
            key, said = "", piece[0]
        if option == "l":
            key, said, kind = _of_legacy(emulation, number, rest)
        elif kind == "fbuf" and key in ("tcp", "rfb"):
            port = _PORT.fullmatch(said)
            said = port[1] if port else ""
        end = start + piece.end()
        yield Part(f"-{option} {kind} {key}".rstrip(), said, end - len(said), end, word, slot)


def _of_legacy(device: str, number: int, pieces: Sequence[re.Match[str]]) -> tuple[str, str, str]:
    """Key, value and kind of a part of ``-l``: com1,PATH; bootrom,PATH,PATH; tpm,KIND,PATH."""
    said = pieces[number][0]
    if device == "bootrom":
        return ("variables" if number > 1 and "=" not in said else ""), said, "bootrom"
    if device.startswith("com"):
        return "", said if said.startswith("/") else "", "com"
    if device == "tpm" and number > 1:
        return pieces[1][0], said if "=" not in said else "", "tpm"
    return "", "", device


def _field(rule: Rule, part: Part) -> Found | Note:
    where = f"{part.place} ({part.slot})" if part.slot else part.place
    if rule.treatment is Treatment.KEEP:
        value = "" if rule.id in _SECRETS else part.value.replace("\0", "?")
        return Found(Field(rule, where, value, part.word.start, part.word.start, str))
    place = part.word.place(part.start, part.end)
    if place is None:
        message = f"{where}: only the script knows it when it runs; give the new machine "
        return Note(rule.id, Level.WARNING, f"{printable(message)}one of its own")
    return Found(
        Field(
            rule,
            where,
            part.value,
            place.start,
            place.end,
            _no_comma(place.spell),
            label=f"net{part.slot}" if rule.id == "mac" else part.slot,
            prefix=PREFIX,
        ),
        place,
    )


def _no_comma(spell: Callable[[str], str]) -> Callable[[str], str]:
    def checked(value: str) -> str:
        if "," in value:
            raise RefusedError(
                f"'{printable(value)}' cannot be written in an argument of bhyve: a comma ends it",
                hint="Use a path without commas.",
            )
        return spell(value)

    return checked


def _disks(found: Sequence[Found]) -> Iterator[Disk]:
    for each in found:
        field = each.field
        if field.rule.kind is FieldKind.DISK and field.label:
            removable = field.rule.treatment is Treatment.KEEP
            yield Disk(field.label, field.value, removable=removable)


def _cards(parts: Sequence[Part]) -> Iterator[Card]:
    macs = {part.slot: part.value for part in parts if part.place == "-s net mac"}
    for slot in dict.fromkeys(p.slot for p in parts if p.place.startswith("-s net")):
        mac = macs.get(slot, "")
        yield Card(f"net{slot}", "" if "\0" in mac else mac)
