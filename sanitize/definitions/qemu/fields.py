"""From the options of a machine to its fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Disk, Field
from unclone.sanitize.definitions.qemu.cards import PREFIX, mac_row, unaddressed
from unclone.sanitize.definitions.qemu.conditions import SECRETS, spans
from unclone.sanitize.definitions.qemu.machine import REMOVABLE_SHORTHANDS, SHORTHANDS
from unclone.sanitize.definitions.row import Kind, Treatment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unclone.sanitize.definitions.qemu.machine import Machine
    from unclone.sanitize.definitions.qemu.options import Option, Pair
    from unclone.sanitize.definitions.qemu.words import Place
    from unclone.sanitize.definitions.row import Row

_FILES = {Kind.DISK, Kind.FIRMWARE}


@dataclass(frozen=True, slots=True)
class Found:
    """A field, and where the parts of it come from that are variables."""

    field: Field
    place: Place | None = None


def found(rows: Iterable[Row], machine: Machine) -> tuple[list[Found], list[Note]]:
    """The fields, in the order of the text; and a note for each value that only a shell knows."""
    fields: list[Found] = []
    notes: list[Note] = []
    name_at = _name_at(machine)
    for row, option, pair in _matches(rows, machine):
        for start, end in spans(row.id, machine, option, pair):
            where = f"{option.place} {pair.key}".rstrip()
            place = pair.place(start, end)
            if row.treatment is Treatment.KEEP:
                value = "" if row.id in SECRETS else pair.value.replace("\0", "?")
                at = option.start
                fields.append(Found(Field(row, where, value, at, at, str)))
            elif place is None:
                words = f"{where}: only the script knows it when it runs; give the new machine "
                notes.append(Note(row.id, Level.WARNING, f"{printable(words)}one of its own"))
            else:
                value = pair.value[start:end]
                field = _field(row, machine, option, where, value, place, name_at)
                fields.append(Found(field, place))
    for card in unaddressed(machine, mac_row(rows)):
        if isinstance(card, Note):
            notes.append(card)
        else:
            fields.append(Found(card))
    return _apart(fields), notes


def disks(machine: Machine) -> Iterator[Disk]:
    """The disks, as far as their paths are known."""
    for option in machine.options:
        keys = ("file", "file.filename", "filename")
        shorthand = option.name in (*SHORTHANDS, *REMOVABLE_SHORTHANDS)
        if not shorthand and option.name not in ("drive", "blockdev"):
            continue
        path = (
            option.get("") if shorthand else option.get(*(k for k in keys if _is_path(option, k)))
        )
        if path and "\0" not in path and not machine.is_flash(option):
            yield Disk(
                machine.label(option),
                path,
                _format(machine, option),
                removable=machine.is_removable(option),
                read_only=machine.is_read_only(option),
            )


def _apart(fields: list[Found]) -> list[Found]:
    """In the order of the text; of those that one variable serves, the one that matters most.

    Two cards that take their address from one variable stay two, and are found to be equal.
    """
    ranks = (Kind.NAME, Kind.MACHINE_UUID, Kind.MAC)
    rank = {kind: number for number, kind in enumerate(ranks)}
    ordered = sorted(fields, key=lambda each: rank.get(each.field.row.kind, len(ranks)))
    kept: list[Found] = []
    taken: dict[tuple[int, int], Field] = {}
    for each in ordered:
        field = each.field
        at = (field.start, field.end)
        first = taken.setdefault(at, field)
        twice = first is not field and not (field.row.kind is Kind.MAC is first.row.kind)
        if field.start == field.end or not twice:
            kept.append(each)
    return sorted(kept, key=lambda each: (each.field.start, each.field.end))


def _matches(rows: Iterable[Row], machine: Machine) -> Iterator[tuple[Row, Option, Pair]]:
    wanted: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        for where in row.where.split(" | "):
            name, _, key = where.removeprefix("-").partition(" ")
            wanted.setdefault((name, key), []).append(row)
    for option in machine.options:
        for pair in option.pairs:
            for row in wanted.get((option.name, pair.key), ()):
                if row.kind not in _FILES or pair.key == "" or _is_path(option, pair.key):
                    yield row, option, pair


def _is_path(option: Option, key: str) -> bool:
    """In -blockdev, "file" is the name of another node."""
    return not (option.name == "blockdev" and key == "file")


def _field(
    row: Row,
    machine: Machine,
    option: Option,
    where: str,
    value: str,
    place: Place,
    name_at: tuple[int, int] | None,
) -> Field:
    spell = place.spell
    if row.kind is Kind.WWN and value.isdigit():
        value = f"0x{int(value):016x}"  # it stays decimal in the text: JSON knows nothing else
        spell = _decimal(place)
    labelled = row.kind is Kind.MAC or row.treatment is Treatment.MOVE
    label = machine.label(option) if labelled else ""
    if place.pieces and name_at is not None and any(at == name_at for _, at in place.pieces):
        pattern = "".join("(.+)" if at == name_at else re.escape(text) for text, at in place.pieces)
        text = machine.text[place.start : place.end]

        def by_variable(new: str) -> str:
            """The variable with the name has the new name: nothing else has to change."""
            return text if re.fullmatch(pattern, new) and new != value else place.spell(new)

        spell = by_variable
    return Field(row, where, value, place.start, place.end, spell, label=label, prefix=PREFIX)


def _decimal(place: Place) -> Callable[[str], str]:
    return lambda new: place.spell(str(int(new, 16)))


def _name_at(machine: Machine) -> tuple[int, int] | None:
    pairs = (p for o in machine.options if o.name == "name" for p in o.pairs if p.key == "guest")
    place = next((pair.place() for pair in pairs), None)
    return (place.start, place.end) if place else None


def _format(machine: Machine, option: Option) -> str:
    if option.name == "blockdev":
        driver = next(
            (
                o.get("driver")
                for o in machine.options
                if o.name == "blockdev" and o.get("node-name") == machine.top(option)
            ),
            "",
        )
        return "" if driver in ("file", "host_device") else driver
    return option.get("format", "driver")
