"""What of a definition looks like an identity and is on no list: named, so that nothing is missed.

A value with the shape of a UUID, a MAC address or a storage name that no rule has found, and a
place that is called as identities are (``serial``, ``hwaddr``, ``path``) without being known to the
format, are "not classified". A format's ``kept.py`` lists the places that look so and stay, and
why; what rules name is known by its rule.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.substitution import UUID
from unclone.sanitize.identities import mac as addresses
from unclone.sanitize.identities.uuids import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unclone.sanitize.definitions.definition import Definition, Format, Leaf, PlannedField
    from unclone.sanitize.definitions.identity_map import IdentityMap

#: What the notes belong to; no rule of any format is called so.
STEP = "not-classified"
#: Characters of the shortest value that has the shape of an identity: a MAC address.
SHORTEST = 12
#: Places that are named; more of them are counted.
SHOWN = 10

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
#: Words of a place's last part that say what it holds.
_NAMES = frozenset(
    (
        *("uuid", "guid", "mac", "macaddr", "hwaddr", "address", "addr", "serial", "eui", "nguid"),
        *("wwn", "wwnn", "wwpn", "iqn", "nqn", "initiator", "cid", "id", "path", "file"),
        *("filename", "socket", "sock", "port", "location", "uid", "asset"),
    )
)
#: A UUID as VMware spells it: 56 4d 1a 2b 3c 4d 5e 6f-70 81 92 a3 b4 c5 d6 e7
_SPACED_UUID = re.compile(
    r"(?<![\w-])(?:[0-9a-fA-F]{2} ){7}[0-9a-fA-F]{2}-(?:[0-9a-fA-F]{2} ){7}[0-9a-fA-F]{2}(?!\w)"
)
_STORAGE_NAME = re.compile(
    r"(?<![\w.])(?:iqn\.\d{4}-\d\d\.[\w.:-]+|nqn\.\d{4}-\d\d\.[\w.:-]+|(?:naa|eui)\.[0-9A-Fa-f]{16,32})"
)


class Kept(NamedTuple):
    """Places that look like an identity and stay without a word. ``*`` is any part of a path."""

    why: str
    places: tuple[str, ...]


class Lists(NamedTuple):
    """What a format knows: places that have a rule or stay, and those that stay in any case."""

    known: re.Pattern[str]
    stays: re.Pattern[str]


def is_telling(path: str) -> bool:
    """Whether the place at *path* is called as identities are."""
    last = path.rpartition("/")[2].lstrip("@").rstrip("[]")
    if last.startswith("-"):  # an option of QEMU: file.read-only says nothing of a file
        last = last.rpartition(".")[2]
    return any(word.lower() in _NAMES for word in _WORDS.findall(last))


@cache
def lists_of(format_: Format) -> Lists:
    """The lists of a format."""
    top, listed = _kept(format_)
    places = [place for each in listed for place in each.places]
    rules = [(rule, where) for rule in format_.rules for where in rule.where.split(" | ")]
    kept_by_rule = {where for rule, where in rules if rule.treatment is Treatment.KEEP}
    kept_by_rule -= {where for rule, where in rules if rule.treatment is not Treatment.KEEP}
    stays = [*places, *kept_by_rule]
    return Lists(_pattern(top, [*places, *(where for _, where in rules)]), _pattern(top, stays))


def reason_of(format_: Format, path: str) -> str:
    """Why what is at *path* stays without a word; "" where no list of the format says so."""
    for pattern, why in _reasons(format_):
        if pattern.fullmatch(path):
            return why
    return ""


@cache
def _reasons(format_: Format) -> list[tuple[re.Pattern[str], str]]:
    top, listed = _kept(format_)
    listed += getattr(import_module(f"{format_.package}.kept"), "UNMET", ()) if listed else ()
    return [(_pattern(top, each.places), each.why) for each in listed]


def _kept(format_: Format) -> tuple[str, tuple[Kept, ...]]:
    name = f"{format_.package}.kept"
    module = import_module(name) if find_spec(name) else None
    return getattr(module, "TOP", ""), getattr(module, "KEPT", ())


def unclassified(format_: Format, paths: Iterable[str]) -> list[str]:
    """Those of *paths* that are called as identities are, and that the format does not know.

    In a path ``#`` stands for a number.
    """
    known = lists_of(format_).known
    return [p for p in paths if is_telling(p) and not known.fullmatch(p.replace("#", "0"))]


def unclassified_notes(
    definition: Definition, fields: Sequence[PlannedField], identities: IdentityMap
) -> list[Note]:
    """A note for each value that may be the source's own, and that nothing has been done about."""
    said = sorted((f.field.start, f.field.end) for f in fields if _is_settled(f))
    names: dict[str, None] = {}
    shaped: list[Leaf] = []
    places: dict[str, tuple[bool, bool]] = {}  # whether a place stays; whether it tells, unknown
    for leaf in definition.leaves():
        if leaf.path not in places:
            lists = lists_of(definition.format)
            is_unknown = is_telling(leaf.path) and not lists.known.fullmatch(leaf.path)
            places[leaf.path] = bool(lists.stays.fullmatch(leaf.path)), is_unknown
        stays, is_unknown = places[leaf.path]
        is_long = len(leaf.value) >= SHORTEST
        if stays or not leaf.value or not (is_long or is_unknown) or _is_within(leaf, said):
            continue
        if is_long:
            shaped.append(leaf)
        if is_unknown and not (UUID.search(leaf.value) or _is_mac(leaf.value)):
            names.setdefault(leaf.path)
    shapes = _shapes(shaped, identities)
    found = {f"{path}: {printable(value, 80)}": Level.WARNING for value, path in shapes.items()}
    found |= dict.fromkeys((path for path in names if path not in shapes.values()), Level.INFO)
    return _notes(found)


def _shapes(leaves: Sequence[Leaf], identities: IdentityMap) -> dict[str, str]:
    """The first value in each leaf that has the shape of an identity, and where it is.

    All are searched at once: what a leaf has is no part of the next one's.
    """
    uuids = {hexadecimal(old) for old in identities.uuids}
    text = "\n".join(leaf.value for leaf in leaves)
    if not any(True for _ in _identities(text, uuids, identities)):
        return {}
    found: dict[str, str] = {}
    for leaf in leaves:
        if value := next(_identities(leaf.value, uuids, identities), ""):
            found.setdefault(value, leaf.path)
    return found


def _notes(found: Mapping[str, Level]) -> list[Note]:
    notes = [
        Note(STEP, level, f"{printable(what, 200)} stays: not classified, see whether it may")
        for what, level in list(found.items())[:SHOWN]
    ]
    if len(found) > SHOWN:
        message = f"{len(found) - SHOWN} further values that are not classified stay"
        notes.append(Note(STEP, Level.WARNING, message))
    return notes


def _is_mac(value: str) -> bool:
    """Whether an address is in *value*: one that is renewed, or that no card can have."""
    return any(True for _ in addresses.find(value))


def _is_settled(planned: PlannedField) -> bool:
    """Whether the report says what becomes of the field."""
    return planned.changed or planned.field.rule.treatment is not Treatment.FOLLOW


def _is_within(leaf: Leaf, said: list[tuple[int, int]]) -> bool:
    """Whether a field stands in *leaf*, or around it."""
    at = bisect_left(said, (leaf.start, -1))
    inside = at < len(said) and said[at][0] <= leaf.end
    return inside or (at > 0 and said[at - 1][1] > leaf.start)


def _identities(text: str, known: set[str], identities: IdentityMap) -> Iterator[str]:
    """What in *text* is a UUID, a MAC address or a name in storage; the renewed ones are not."""
    for match in (*UUID.finditer(text), *_SPACED_UUID.finditer(text)):
        digits = hexadecimal(match[0])
        if digits not in known and len(set(digits)) > 1:
            yield match[0]
    for found in addresses.find(text):
        octets = found.mac.octets
        foreign = str(found.mac) not in identities.macs and any(octets) and not octets[0] & 1
        if foreign and found.mac.separator in (":", "-"):
            yield found.text
    yield from (match[0] for match in _STORAGE_NAME.finditer(text))


def _pattern(top: str, places: Iterable[str]) -> re.Pattern[str]:
    """One expression for *places*, and all that is below them.

    Conditions are left out, ``#`` is a number, ``*`` anything; *top* is what may stand before. A
    device of one type alone (``devices/disk[@type='nvme']``) says nothing of those of others.
    """
    whole = (place for place in places if not place.endswith("']"))
    written = (re.sub(r"\[[^\]]+\]", "", place).strip("/") for place in whole)
    parts = sorted({re.escape(place) for place in written if place})
    parts = [part.replace(r"\#", r"\d+").replace(r"\*", ".*") for part in parts]
    return re.compile(rf"(?:{top})(?:{'|'.join(parts) or '(?!)'})(?:/.*|\[.*)?", re.IGNORECASE)
