"""What becomes of a definition's fields: decided here once, whatever the format.

Nothing is written: a :class:`Renewal` is the plan, the report and the edits in one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.following import Following
from unclone.sanitize.definitions.left_over import left_over
from unclone.sanitize.definitions.row import Kind, Treatment
from unclone.sanitize.definitions.splicing import Edit
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import is_uuid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.sanitize.definitions.definition import Definition, Field
    from unclone.sanitize.definitions.identity_map import IdentityMap

#: A port of a new machine is at most so many above the old one's.
PORT_WINDOW = 1000
_LABEL = re.compile(r"[A-Za-z][A-Za-z _.-]*\d{0,3}|.{0,3}", re.DOTALL)
_UNSIGNED, _SIGNED_64 = re.compile("[0-9]{1,10}"), re.compile("-?[0-9]{1,19}")
#: Characters. Serial numbers have up to 247 (SCSI through libvirt).
LONGEST = 1024
#: vsock(7): 0 to 2 and the highest are taken.
VSOCK_CIDS = (3, 2**32 - 2)


@dataclass(frozen=True, slots=True)
class Renewed:
    """One field, decided. ``new`` is None where the field is taken out, ``old`` where it stays."""

    field: Field
    new: str | None

    @property
    def changed(self) -> bool:
        """Whether the text changes."""
        return self.new is None or self.new != self.field.value

    @property
    def edit(self) -> Edit:
        """The change as text."""
        if self.new is None:
            start, end = self.field.removal or (self.field.start, self.field.end)
            return Edit(start, end, "")
        return Edit(self.field.start, self.field.end, self.field.spell(self.new))


@dataclass(frozen=True, slots=True)
class Renewal:
    """Everything that is done to one definition."""

    definition: Definition
    fields: tuple[Renewed, ...]  # in the order of the text, those that stay included
    notes: tuple[Note, ...]

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The changes to the text."""
        return tuple(renewed.edit for renewed in self.fields if renewed.changed)

    def new_value(self, row: str) -> str:
        """The first new value of *row* in the machine itself; "" when it has none."""
        return next(
            (
                renewed.new or ""
                for renewed in self.fields
                if renewed.field.row.id == row and not renewed.field.scope
            ),
            "",
        )


def renew(
    definition: Definition, identities: IdentityMap, *, disks: Mapping[str, str] | None = None
) -> Renewal:
    """Decide about every field of *definition*. *disks*: old path or label to new path.

    Raises RefusedError for addresses that are wrong or used twice, UsageError for a disk that the
    definition has not got.
    """
    moves = dict(disks or {})
    _require_sound(definition)
    _require_known_disks(definition, moves)
    moved = {f.label for f in _moving(definition) if moves.keys() & {f.value, f.label}}
    renewed: dict[int, Renewed] = {}
    notes = list(definition.notes)
    # Paths follow names and ids, so they come last.
    last = [number for number, field in enumerate(definition.fields) if _follows(field)]
    first = sorted(set(range(len(definition.fields))) - set(last))
    following: Following | None = None
    for number in (*first, *last):
        field = definition.fields[number]
        new: str | None
        if field.disk and field.disk not in moved:
            new = field.value
        elif _follows(field):
            following = following or Following(definition.name, identities)
            new = _followed(field, following)
        else:
            new = _decide(definition, field, identities, moves)
        renewed[number] = Renewed(field, new)
        notes += _remarks(field, new)
    done = tuple(renewed[n] for n in sorted(renewed))
    notes += left_over(definition, done, identities)
    return Renewal(definition, done, tuple(notes))


def _decide(
    definition: Definition, field: Field, identities: IdentityMap, disks: Mapping[str, str]
) -> str | None:
    match field.row.treatment:
        case Treatment.NAME:
            return identities.name
        case Treatment.RENEW:
            return _new_value(field, identities, definition.source.shown)
        case Treatment.SET:
            return field.to
        case Treatment.REMOVE:
            return None
        case Treatment.MOVE:
            return disks.get(field.value) or disks.get(field.label) or field.value
        case Treatment.KEEP | Treatment.FOLLOW:
            return field.value


def _follows(field: Field) -> bool:
    return field.row.treatment is Treatment.FOLLOW or (
        field.row.treatment is Treatment.RENEW and is_label(field)
    )


def _followed(field: Field, following: Following) -> str:
    if field.row.treatment is Treatment.RENEW:
        return following.text(field.value)
    if field.row.kind is Kind.INTERFACE:
        return following.interface(field.value)
    return following.text(field.value, unlike=field.row.kind in _NEVER_SHARED)


def _new_value(field: Field, identities: IdentityMap, file: str) -> str:
    old, row = field.value, field.row
    match row.kind:
        case Kind.MAC:
            return identities.mac(old, prefix=field.prefix, place=field.label or field.place)
        case Kind.MACHINE_UUID:
            return identities.machine_uuid(old, field=row.id)
        case Kind.UUID | Kind.GENERATION_ID:
            return identities.uuid(old, field=row.id)
        case Kind.WWN:
            return identities.wwn(old, field=row.id)
        case Kind.GENERATION_NUMBER:
            number = _number(field, file, _SIGNED_64)
            return str(identities.number(number, field=row.id, low=-(2**63), high=2**63 - 1))
        case Kind.VSOCK_CID:
            low, high = VSOCK_CIDS
            return str(identities.number(_number(field, file), field=row.id, low=low, high=high))
        case Kind.PORT:
            port = _number(field, file)
            low, high = (port + 1, port + PORT_WINDOW) if port < 2**16 - 1 else (1024, port - 1)
            return str(identities.number(port, field=row.id, low=low, high=min(high, 2**16 - 1)))
        case _:
            return identities.serial(old, field=row.id)


def _number(field: Field, file: str, pattern: re.Pattern[str] = _UNSIGNED) -> int:
    if not pattern.fullmatch(field.value):
        raise RefusedError(
            f"{file}: {field.place}: '{printable(field.value, 80)}' is not a number",
            hint="Correct the definition first.",
        )
    return int(field.value)


def _remarks(field: Field, new: str | None) -> list[Note]:
    """What the report says about a field besides the change."""
    if new != field.value:
        return []
    where = f"{field.place}: {field.value}" if field.value else field.place
    if is_label(field):
        return [Note(field.row.id, Level.INFO, f"{where} stays: it is a label, not a number")]
    match field.row.treatment:
        case Treatment.KEEP:
            level = field.row.stays or Level.INFO
            return [Note(field.row.id, level, f"{where} stays: {field.row.why}")]
        case Treatment.MOVE:
            level = field.row.stays or Level.WARNING
            return [Note(field.row.id, level, f"{where} is still the source's: {field.row.why}")]
        case _:
            return []


def is_label(field: Field) -> bool:
    """Whether a serial "number" only says what a thing is for: "root", "data01", "ds=nocloud".

    Guests find disks by such serials, and clouds; two machines may well have the same.
    """
    value = field.value
    return (
        field.row.kind is Kind.SERIAL
        and not is_uuid(value)
        and (bool(_LABEL.fullmatch(value)) or "=" in value)
    )


def _require_sound(definition: Definition) -> None:
    """Addresses that no network could work with are an error of the source."""
    seen: dict[tuple[str, str], Field] = {}
    for field in definition.fields:
        if field.row.treatment not in (Treatment.RENEW, Treatment.NAME) or not field.value:
            continue
        shown = printable(field.value, 80)
        file = definition.source.shown
        if len(field.value) > LONGEST:
            raise RefusedError(
                f"{file}: {field.place}: '{shown}' is longer than anything like it",
                hint="Correct the definition first.",
            )
        if field.row.kind is Kind.MAC:
            address = str(addresses.parse(field.value, f"{file}: {field.place}"))
            twin = seen.setdefault((field.scope, address), field)
            if twin is not field:
                raise RefusedError(
                    f"{file}: {twin.place} and {field.place} have the same MAC address, {shown}",
                    hint="Give each card of the source its own first.",
                )
        elif field.row.kind in _UUIDS and not is_uuid(field.value):
            raise RefusedError(
                f"{file}: {field.place}: '{shown}' is not a UUID",
                hint="A UUID has 32 hexadecimal digits: correct the definition first.",
            )


def _require_known_disks(definition: Definition, moves: Mapping[str, str]) -> None:
    known = {name for field in _moving(definition) for name in (field.value, field.label)}
    for old in moves:
        if old not in known:
            has = ", ".join(sorted(printable(name, 200) for name in known if name)) or "none"
            raise UsageError(
                f"{definition.source.shown} has no disk '{printable(old, 200)}'",
                hint=f"Its disks: {has}.",
            )


def _moving(definition: Definition) -> list[Field]:
    return [f for f in definition.fields if f.row.treatment is Treatment.MOVE]


_UUIDS = {Kind.MACHINE_UUID, Kind.UUID, Kind.GENERATION_ID}
#: Two machines on one host cannot share these: a path without the old name gets the new one added.
_NEVER_SHARED = {Kind.SOCKET, Kind.FIRMWARE, Kind.INTERFACE, Kind.FILE}
