"""Old identities that are still in the text: comments, metadata, arguments, unknown elements.

They are not changed, because it is not known what reads them; the report says where they are.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.substitution import UUID, name_pattern
from unclone.sanitize.definitions.text.splicing import Edit, splice
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.sanitize.definitions.definition import Definition, PlannedField
    from unclone.sanitize.definitions.identity_map import IdentityMap

#: Shorter serial numbers are found everywhere.
SERIAL_LENGTH = 6
SHOWN_LINES = 8
_WORD = re.compile(r"[^\s\"'<>()\[\]{}=,;]+")

#: What the notes belong to; no rule of any format is called so.
STEP = "left-over"


def residue_notes(
    definition: Definition, fields: Sequence[PlannedField], identities: IdentityMap
) -> list[Note]:
    """A note for each old identity that the new text still mentions.

    What a field holds that stays has a note of its own already.
    """
    said = [f for f in fields if not f.changed and f.field.rule.treatment is not Treatment.FOLLOW]
    blanks = [Edit(f.field.start, f.field.end, "") for f in said]
    text = splice(definition.source.text, [*(f.edit for f in fields if f.changed), *blanks])
    breaks = [match.start() for match in re.finditer("\n", text)]
    warnings = [
        _note(Level.WARNING, kind, value, _lines(breaks, places))
        for kind, value, places in _found(text, fields, identities)
    ]
    pattern = name_pattern(definition.name) if definition.name != identities.name else None
    places = [match.start() for match in pattern.finditer(text)] if pattern else []
    names = [_note(Level.INFO, "name", definition.name, _lines(breaks, places))] if places else []
    return warnings + names


def _found(
    text: str, fields: Sequence[PlannedField], identities: IdentityMap
) -> Iterator[tuple[str, str, list[int]]]:
    macs: dict[str, list[int]] = {}
    for found in addresses.find(text):
        if str(found.mac) in identities.macs:
            macs.setdefault(str(found.mac), []).append(found.start)
    uuids: dict[str, list[int]] = {}
    known = {hexadecimal(old): old for old in identities.uuids}
    for match in UUID.finditer(text):
        if old := known.get(hexadecimal(match[0])):
            uuids.setdefault(old, []).append(match.start())
    serials: dict[str, list[int]] = {}
    changed = {f.field.value for f in fields if f.changed} & set(identities.serials)
    for word in _WORD.finditer(text) if changed else ():
        if word[0] in changed and len(word[0]) >= SERIAL_LENGTH:
            serials.setdefault(word[0], []).append(word.start())
    for kind, table in (("MAC address", macs), ("UUID", uuids), ("serial number", serials)):
        for value, places in table.items():
            yield kind, value, places


def _note(level: Level, kind: str, value: str, lines: list[int]) -> Note:
    shown = ", ".join(str(line) for line in lines[:SHOWN_LINES])
    more = " and others" if len(lines) > SHOWN_LINES else ""
    where = f"line {shown}" if len(lines) == 1 else f"lines {shown}{more}"
    message = f"the old {kind} {printable(value, 80)} is still on {where} of the result"
    return Note(STEP, level, f"{message}: see what reads it there")


def _lines(breaks: list[int], places: list[int]) -> list[int]:
    """The lines of *places*, without repetition; *breaks* are where lines end."""
    return list(dict.fromkeys(bisect_left(breaks, place) + 1 for place in places))
