"""What becomes of a definition's fields: decided here once, whatever the format.

Nothing is written: a :class:`DefinitionPlan` is data, from which the edits and the report are made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions import machine_ids
from unclone.sanitize.definitions.classification import unclassified_notes
from unclone.sanitize.definitions.definition import DefinitionPlan, PlannedField
from unclone.sanitize.definitions.residue import residue_notes
from unclone.sanitize.definitions.rule import FieldKind, Treatment
from unclone.sanitize.definitions.substitution import Substitution
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import is_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.sanitize.definitions.definition import Definition, Field
    from unclone.sanitize.definitions.identity_map import IdentityMap

#: A port of a new machine is at most so many above the old one's.
PORT_WINDOW = 1000
#: Only root may listen at a port below the first: the new one is above their sum instead.
PRIVILEGED, UNPRIVILEGED = 1024, 10_000
_LABEL = re.compile(r"[A-Za-z][A-Za-z _.-]*\d{0,3}|.{0,3}", re.DOTALL)
#: What a disk's address may have for its server: user and password, or a key.
_CREDENTIAL = re.compile(r"(?<=//)[^/@\s]*[:%][^/@\s]*(?=@)|(?<=:key=)[^:,\s]+")
_UNSIGNED, _SIGNED_64 = re.compile("[0-9]{1,10}"), re.compile("-?[0-9]{1,19}")
#: Characters. Serial numbers have up to 247 (SCSI through libvirt).
LONGEST = 1024
#: vsock(7): 0 to 2 and the highest are taken.
VSOCK_CIDS = (3, 2**32 - 2)


def plan_definition(
    definition: Definition, identities: IdentityMap, *, disks: Mapping[str, str] | None = None
) -> DefinitionPlan:
    """Decide about every field of *definition*. *disks*: old path or label to new path.

    A file of UEFI variables may be among them. A disk whose new path is the old one has been made
    the new machine's where it is.

    Raises RefusedError for addresses that are wrong or used twice, UsageError for a disk that the
    definition has not got.
    """
    moves = dict(disks or {})
    _require_sound(definition)
    extra = _extra_macs(definition)
    _require_known_disks(definition, moves)
    moved = {
        f.label
        for f in _moving(definition)
        if any(moves.get(name, f.value) != f.value for name in (f.value, f.label))
    }
    planned: dict[int, PlannedField] = {}
    notes = [*definition.notes, *_mac_notes(definition, extra)]
    # Paths follow names and ids, so they come last.
    last = [number for number, field in enumerate(definition.fields) if _follows(field)]
    first = sorted(set(range(len(definition.fields))) - set(last))
    substitution: Substitution | None = None
    for number in (*first, *last):
        field = definition.fields[number]
        new: str | None
        if field.disk and field.disk not in moved:
            new = field.value
        elif _follows(field):
            substitution = substitution or Substitution(definition.name, identities)
            moved_to = moves.get(field.value) if field.rule.kind is FieldKind.FIRMWARE else None
            new = moved_to or _followed(field, substitution, identities)
        else:
            new = _decide(definition, field, identities, moves, extra.get(number, ""))
        planned[number] = PlannedField(field, new)
        if field.rule.treatment is not Treatment.MOVE or field.value not in (
            moves.get(field.value),
            moves.get(field.label),
        ):
            notes += _remarks(field, new)
    done = tuple(planned[n] for n in sorted(planned))
    notes += residue_notes(definition, done, identities)
    notes += unclassified_notes(definition, done, identities)
    return DefinitionPlan(definition, done, tuple(notes))


def _decide(
    definition: Definition,
    field: Field,
    identities: IdentityMap,
    disks: Mapping[str, str],
    card: str,
) -> str | None:
    match field.rule.treatment:
        case Treatment.NAME:
            return identities.name
        case Treatment.RENEW if card:
            return identities.extra_mac(field.value, prefix=field.prefix, place=card)
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
    return field.rule.treatment is Treatment.FOLLOW or (
        field.rule.treatment is Treatment.RENEW and is_label(field)
    )


def _followed(field: Field, substitution: Substitution, identities: IdentityMap) -> str:
    if field.rule.treatment is Treatment.RENEW:
        return substitution.text(field.value)
    if field.rule.kind is FieldKind.INTERFACE:
        return substitution.interface(field.value)
    value = machine_ids.renewed(field.value, identities)
    must_differ = field.rule.kind in _NEVER_SHARED and not _is_device(field.value)
    return substitution.text(value, must_differ=must_differ)


def _is_device(path: str) -> bool:
    """A device of the host, or a file that is open already: no other of that name can be made."""
    return bool(re.match(r"/(?:dev|proc)/(?!shm/)", path))


def _new_value(field: Field, identities: IdentityMap, file: str) -> str:
    old, rule = field.value, field.rule
    match rule.kind:
        case FieldKind.MAC:
            return identities.mac(old, prefix=field.prefix, place=field.label or field.place)
        case FieldKind.MACHINE_UUID:
            return identities.machine_uuid(old, field=rule.id)
        case FieldKind.UUID | FieldKind.GENERATION_ID:
            return identities.uuid(old, field=rule.id)
        case FieldKind.WWN:
            return identities.wwn(old, field=rule.id)
        case FieldKind.GENERATION_NUMBER:
            number = _number(field, file, _SIGNED_64)
            return str(identities.number(number, field=rule.id, low=-(2**63), high=2**63 - 1))
        case FieldKind.VSOCK_CID:
            low, high = VSOCK_CIDS
            return str(identities.number(_number(field, file), field=rule.id, low=low, high=high))
        case FieldKind.PORT:
            port = _number(field, file)
            low, high = (port + 1, port + PORT_WINDOW) if port < 2**16 - 1 else (1024, port - 1)
            if port < PRIVILEGED:
                low, high = low + UNPRIVILEGED, high + UNPRIVILEGED
            return str(identities.number(port, field=rule.id, low=low, high=min(high, 2**16 - 1)))
        case FieldKind.DISPLAY:
            number = _number(field, file)
            low, high = number + 1, number + PORT_WINDOW
            return str(identities.number(number, field=rule.id, low=low, high=high))
        case _:
            return identities.serial(old, field=rule.id)


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
    value = _CREDENTIAL.sub("...", field.value)
    where = f"{field.place}: {value}" if value else field.place
    if is_label(field):
        return [Note(field.rule.id, Level.INFO, f"{where} stays: it is a label, not a number")]
    match field.rule.treatment:
        case Treatment.KEEP:
            level = field.rule.stays or Level.INFO
            return [Note(field.rule.id, level, f"{where} stays: {field.rule.why}")]
        case Treatment.MOVE:
            level = field.rule.stays or Level.WARNING
            return [Note(field.rule.id, level, f"{where} is still the source's: {field.rule.why}")]
        case Treatment.FOLLOW if _is_device(field.value) and field.value not in _SHARED_DEVICES:
            message = f"{where} stays: both machines would use it, see whether they may"
            return [Note(field.rule.id, Level.WARNING, message)]
        case _:
            return []


def is_label(field: Field) -> bool:
    """Whether a serial "number" only says what a thing is for: "root", "data01", "ds=nocloud".

    Guests find disks by such serials, and clouds; two machines may well have the same.
    """
    value = field.value
    return (
        field.rule.kind is FieldKind.SERIAL
        and not is_uuid(value)
        and (bool(_LABEL.fullmatch(value)) or "=" in value or not any(map(str.isalnum, value)))
    )


def _require_sound(definition: Definition) -> None:
    """Addresses that no network could work with are an error of the source."""
    for field in definition.fields:
        if field.rule.treatment not in (Treatment.RENEW, Treatment.NAME) or not field.value:
            continue
        shown = printable(field.value, 80)
        file = definition.source.shown
        if len(field.value) > LONGEST:
            raise RefusedError(
                f"{file}: {field.place}: '{shown}' is longer than anything like it",
                hint="Correct the definition first.",
            )
        if field.rule.kind is FieldKind.MAC:
            if not addresses.is_null(field.value):
                addresses.parse(field.value, f"{file}: {field.place}")
        elif field.rule.kind in _UUIDS and not is_uuid(field.value):
            raise RefusedError(
                f"{file}: {field.place}: '{shown}' is not a UUID",
                hint="A UUID has 32 hexadecimal digits: correct the definition first.",
            )


def _extra_macs(definition: Definition) -> dict[int, str]:
    """The cards whose address is null, or another card's: number of the field to the card's name.

    The first card with an address is not among them, and neither are those of its team.
    """
    first: dict[tuple[str, str], Field] = {}
    found: dict[int, str] = {}
    for number, field in enumerate(definition.fields):
        if field.rule.kind is not FieldKind.MAC or field.rule.treatment is not Treatment.RENEW:
            continue
        card = field.label or field.place
        if addresses.is_null(field.value):
            found[number] = card
            continue
        address = str(addresses.parse(field.value))
        known = first.setdefault((field.scope, address), field)
        if known is field or (field.team and field.team == known.team):
            continue
        if (field.start, field.end) == (known.start, known.end):
            raise RefusedError(
                f"{definition.source.shown}: {known.place} and {field.place} have the same MAC "
                f"address from one place, {printable(field.value, 80)}",
                hint="Give each card of the source its own first.",
            )
        found[number] = card
    return found


def _mac_notes(definition: Definition, extra: Mapping[int, str]) -> Iterator[Note]:
    for number, card in extra.items():
        field = definition.fields[number]
        if field.scope:
            continue
        null = addresses.is_null(field.value)
        what = "is null" if null else f"({field.value}) is another card's too"
        message = f"the MAC address of {printable(card, 80)} {what}: it gets one of its own"
        yield Note(field.rule.id, Level.WARNING, message)


def _require_known_disks(definition: Definition, moves: Mapping[str, str]) -> None:
    known = {name for field in _moving(definition) for name in (field.value, field.label)}
    stores = {f.value for f in definition.fields if f.rule.kind is FieldKind.FIRMWARE}
    for old in moves:
        if old not in known | stores:
            has = ", ".join(sorted(printable(name, 200) for name in known if name)) or "none"
            raise UsageError(
                f"{definition.source.shown} has no disk '{printable(old, 200)}'",
                hint=f"Its disks: {has}.",
            )


def _moving(definition: Definition) -> list[Field]:
    return [f for f in definition.fields if f.rule.treatment is Treatment.MOVE]


_UUIDS = {FieldKind.MACHINE_UUID, FieldKind.UUID, FieldKind.GENERATION_ID}
#: Two machines on one host cannot share these: a path without the old name gets the new one added.
_SHARED_DEVICES = {"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty"}
_NEVER_SHARED = {FieldKind.SOCKET, FieldKind.FIRMWARE, FieldKind.INTERFACE, FieldKind.FILE}
