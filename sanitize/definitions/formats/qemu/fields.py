"""From the options of a machine to its fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions import machine_ids
from unclone.sanitize.definitions.definition import Card, Disk, Field, Leaf
from unclone.sanitize.definitions.formats.qemu.cards import PREFIX, is_card, mac_rule, unaddressed
from unclone.sanitize.definitions.formats.qemu.conditions import SECRETS, spans
from unclone.sanitize.definitions.formats.qemu.machine_options import (
    REMOVABLE_SHORTHANDS,
    SHORTHANDS,
    is_part,
    layers,
)
from unclone.sanitize.definitions.rule import FieldKind, Treatment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unclone.sanitize.definitions.formats.qemu.machine_options import MachineOptions
    from unclone.sanitize.definitions.formats.qemu.options import Option, Pair
    from unclone.sanitize.definitions.formats.qemu.words import Place
    from unclone.sanitize.definitions.rule import Rule

#: Rules whose value may hold a machine-id, which is said by itself.
_TEXTS = {"smbios-text", "firmware-configuration"}
BLOCK_OPTIONS = ("drive", "blockdev")
_FILES = {FieldKind.DISK, FieldKind.FIRMWARE}


@dataclass(frozen=True, slots=True)
class Found:
    """A field, and where the parts of it come from that are variables."""

    field: Field
    place: Place | None = None


def found(rules: Iterable[Rule], machine: MachineOptions) -> tuple[list[Found], list[Note]]:
    """The fields, in the order of the text; and a note for each value that only a shell knows."""
    fields: list[Found] = []
    notes: list[Note] = []
    name_at = _name_at(machine)
    for option in machine.options:
        for pair in option.pairs:
            for each in _machine_ids(option, pair):
                if isinstance(each, Note):
                    notes.append(each)
                else:
                    fields.append(each)
    for rule, option, pair in _matches(rules, machine):
        if rule.id in _TEXTS and any(True for _ in _machine_ids(option, pair)):
            continue  # it is said already
        for start, end in spans(rule.id, machine, option, pair):
            where = f"{option.place} {pair.key}".rstrip()
            place = pair.place(start, end)
            if rule.treatment is Treatment.KEEP:
                value = "" if rule.id in SECRETS else pair.value.replace("\0", "?")
                at = option.start
                fields.append(Found(Field(rule, where, value, at, at, str)))
            elif place is None:
                message = f"{where}: only the script knows it when it runs; give the new machine "
                notes.append(Note(rule.id, Level.WARNING, f"{printable(message)}one of its own"))
            else:
                value = pair.value[start:end]
                if rule.kind is FieldKind.SERIAL and any(at == name_at for _, at in place.pieces):
                    continue  # it is made of the variable that has the name, and follows it
                field = _field(rule, machine, option, pair.key, value, place, name_at)
                fields.append(Found(field, place))
    for card in unaddressed(machine, mac_rule(rules)):
        if isinstance(card, Note):
            notes.append(card)
        else:
            fields.append(Found(card))
    return _apart(fields), notes


def _machine_ids(option: Option, pair: Pair) -> Iterator[Found | Note]:
    """The machine-ids that the guest is given; each may come from a variable of the script."""
    where = f"{option.place} {pair.key}".rstrip()
    credential = option.get("name") == machine_ids.FW_CFG_NAME
    if (option.name, pair.key) == ("fw_cfg", "string") and credential:
        places = machine_ids.find(f"{machine_ids.CREDENTIAL}={pair.value}")
        offset = len(machine_ids.CREDENTIAL) + 1
    else:
        wanted = option.name == "append" or (option.name == "smbios" and pair.key == "value")
        places, offset = machine_ids.find(pair.value if wanted else ""), 0
    for one in places:
        place = pair.place(one.start - offset, one.end - offset)
        if place is None:
            message = f"{where}: only the script knows the machine-id in it: give the new machine "
            yield Note(machine_ids.RULE.id, Level.WARNING, f"{printable(message)}one of its own")
            continue
        yield Found(
            Field(
                machine_ids.RULE,
                where,
                one.value,
                place.start,
                place.end,
                partial(_spelled, one.spell, place.spell),
            ),
            place,
        )


def _spelled(inner: Callable[[str], str], outer: Callable[[str], str], new: str) -> str:
    return outer(inner(new))


def disks(machine: MachineOptions) -> Iterator[Disk]:
    """The disks, as far as their paths are known."""
    for option in machine.options:
        for pair in option.pairs:
            path = pair.value if _is_disk(option, pair.key) else ""
            if path and "\0" not in path and not machine.is_flash(option):
                label = machine.label(option, pair.key)
                yield Disk(
                    label,
                    path,
                    _format(machine, option) if label == machine.label(option) else "",
                    removable=machine.is_removable(option),
                    read_only=machine.is_read_only(option),
                )


def cards(machine: MachineOptions, fields: Iterable[Found]) -> Iterator[Card]:
    """The network cards that are named, with the addresses that QEMU counts where none is said."""
    added = {
        each.field.label: each.field.value
        for each in fields
        if each.field.rule.kind is FieldKind.MAC and each.field.start == each.field.end
    }
    for option in machine.options:
        if is_card(option):
            label = machine.label(option)
            mac = option.get("mac", "macaddr") or added.get(label, "")
            yield Card(label, "" if "\0" in mac else mac)


def option_leaves(machine: MachineOptions) -> Iterator[Leaf]:
    """Every value of every option, as far as it is known and where it is written."""
    for option in machine.options:
        for pair in option.pairs:
            if pair.value and "\0" not in pair.value and (place := pair.place()):
                path = f"-{as_option(option)} {pair.key}".rstrip()
                yield Leaf(path, pair.value, place.start, place.end)


def _apart(fields: list[Found]) -> list[Found]:
    """In the order of the text; of those that one variable serves, the one that matters most.

    Two cards that take their address from one variable stay two, and are found to be equal.
    """
    ranks = (FieldKind.NAME, FieldKind.MACHINE_UUID, FieldKind.MAC)
    rank = {kind: number for number, kind in enumerate(ranks)}
    ordered = sorted(fields, key=lambda each: rank.get(each.field.rule.kind, len(ranks)))
    kept: list[Found] = []
    taken: dict[tuple[int, int], Field] = {}
    for each in ordered:
        field = each.field
        at = (field.start, field.end)
        first = taken.setdefault(at, field)
        twice = first is not field and not (field.rule.kind is FieldKind.MAC is first.rule.kind)
        if field.start == field.end or not twice:
            kept.append(each)
    return sorted(kept, key=lambda each: (each.field.start, each.field.end))


def _matches(rules: Iterable[Rule], machine: MachineOptions) -> Iterator[tuple[Rule, Option, Pair]]:
    wanted: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for where in rule.where.split(" | "):
            name, _, key = where.removeprefix("-").partition(" ")
            wanted.setdefault((name, key), []).append(rule)
    for option in machine.options:
        for pair in option.pairs:
            for place in _places(option, pair.key):
                for rule in wanted.get((as_option(option), place), ()):
                    if rule.kind not in _FILES or pair.key == "" or _is_path(option, pair.key):
                        yield rule, option, pair


def as_option(option: Option) -> str:
    """The option whose keys those of *option* are: what ``-global`` says, devices have."""
    return "device" if option.name == "global" else option.name


def _is_disk(option: Option, key: str) -> bool:
    """Whether the value of *key* is the path of a disk."""
    if option.name in (*SHORTHANDS, *REMOVABLE_SHORTHANDS):
        return key == ""
    layer, rest = layers(key)
    is_file = rest == "filename" or (option.name == "drive" and key == "file")
    return option.name in BLOCK_OPTIONS and is_file and not is_part(layer)


def _places(option: Option, key: str) -> tuple[str, ...]:
    """What rules call a key: ``*`` for the layers of a block node, ``#`` for numbers."""
    if option.name in BLOCK_OPTIONS:
        return key, f"*{layers(key)[1]}"
    return (re.sub(r"\.\d+\.", ".#.", key),)


def _is_path(option: Option, key: str) -> bool:
    """In -blockdev, "file" is the name of another node."""
    return not (option.name == "blockdev" and key == "file")


def _field(
    rule: Rule,
    machine: MachineOptions,
    option: Option,
    key: str,
    value: str,
    place: Place,
    name_at: tuple[int, int] | None,
) -> Field:
    where = f"{option.place} {key}".rstrip()
    spell = place.spell
    if rule.kind is FieldKind.WWN and value.isdigit():
        value = f"0x{int(value):016x}"  # it stays decimal in the text: JSON has no other numbers
        spell = _decimal(place)
    labelled = rule.kind is FieldKind.MAC or rule.treatment is Treatment.MOVE
    label = machine.label(option, key) if labelled else ""
    if place.pieces and not any(at is not None and at == name_at for _, at in place.pieces):

        def keeping_variables(new: str) -> str:
            """The script may set its variables otherwise another time."""
            kept = place.part(value, new, machine.text)
            return place.spell(new) if kept is None else kept

        spell = keeping_variables
    elif place.pieces and name_at is not None:
        pattern = "".join("(.+)" if at == name_at else re.escape(text) for text, at in place.pieces)
        text = machine.text[place.start : place.end]

        def by_variable(new: str) -> str:
            """The variable with the name has the new name: nothing else has to change."""
            return text if re.fullmatch(pattern, new) and new != value else place.spell(new)

        spell = by_variable
    return Field(rule, where, value, place.start, place.end, spell, label=label, prefix=PREFIX)


def _decimal(place: Place) -> Callable[[str], str]:
    return lambda new: place.spell(str(int(new, 16)))


def _name_at(machine: MachineOptions) -> tuple[int, int] | None:
    pairs = (p for o in machine.options if o.name == "name" for p in o.pairs if p.key == "guest")
    place = next((pair.place() for pair in pairs), None)
    return (place.start, place.end) if place else None


def _format(machine: MachineOptions, option: Option) -> str:
    if option.name == "blockdev":
        driver = next(
            (
                o.get("driver")
                for o in machine.options
                if o.name == "blockdev" and o.get("node-name") == machine.top(option)
            ),
            "",
        )
        if driver in ("throttle", "copy-on-read", "preallocate"):  # a filter above the format
            driver = option.get("file.driver")
        return "" if driver in ("file", "host_device") else driver
    return option.get("format", "driver")
