"""The DHCP identities that a guest's configuration fixes, and what is to become of each.

Two machines that send one client identifier or DUID are one to a server, and get one address. One
that is made of a MAC address follows the card's (the step ``mac-pins``); any other fixed one goes,
and the client makes its own again; a name that a person chose stays, because only a person knows
what the server does with it.

References: RFC 2132, 9.14 (client identifier); RFC 4361; RFC 8415, 11 (DUID) and 12 (IAID);
RFC 6355 (DUID-UUID).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.dhcp.places import PLACES
from unclone.sanitize.identities import mac

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.dhcp.places import Place

#: Bytes. What is larger is no network configuration.
TEXT_LIMIT = 1024 * 1024
#: Identities in one file; no machine has more, and each line takes time.
IDENTITIES_LIMIT = 200
#: Characters of a line that are looked at before an option.
_LINE_LIMIT = 400

_HEXADECIMAL = re.compile(r"(?:0x)?[0-9A-Fa-f]{1,2}(?:[:-][0-9A-Fa-f]{1,2})+")
_DIGITS = re.compile(
    r"(?:0x)?(?:[0-9A-Fa-f]{2}){4,}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
)
_NUMBER = re.compile(r"(?:0x)?[0-9A-Fa-f]+")
_ESCAPE = re.compile(r"\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2})")
_DUID_TYPE = re.compile(r"(?m)^[ \t]*DUIDType[ \t]*=[ \t]*\d+[ \t\r]*$")


class Fixed(NamedTuple):
    """An identity in a text, from character ``start`` to before ``end``; ``new`` replaces those."""

    start: int
    end: int
    value: str
    new: str = ""


class File(NamedTuple):
    """One file: what goes, and the names that stay. Where there are too many, all stay."""

    text: str
    goes: tuple[Fixed, ...]
    named: tuple[str, ...]
    too_many: bool = False

    @property
    def remaining(self) -> str:
        """The text without what goes; a line that is empty then goes, too."""
        pieces, done = [], 0
        for fixed in self.goes:
            start, end = _whole_line(self.text, fixed) or (fixed.start, fixed.end)
            pieces += [self.text[done:start], fixed.new]
            done = max(done, end)
        return "".join([*pieces, self.text[done:]])


def fixed_identities(guest: Guest, renewed: Mapping[str, str]) -> dict[str, File]:
    """Every file with an identity that goes or is a name, by its physical path.

    *renewed* is the map of old to new MAC addresses: what is made of one of these stays here.
    """
    places: dict[str, list[Place]] = {}
    for place in PLACES:
        for path in dict.fromkeys(p for pattern in place.globs for p in guest.glob(pattern)):
            stat = guest.stat(path)
            if stat is not None and guest.is_file(path) and stat.size <= TEXT_LIMIT:
                places.setdefault(guest.resolve(path), []).append(place)
    known = {*renewed, *renewed.values()}
    guest.prefetch(files=places)
    found = {path: _look(guest.text_or_empty(path), places[path], known) for path in sorted(places)}
    return {path: file for path, file in found.items() if file != File(file.text, (), ())}


def is_whole_line(text: str, fixed: Fixed) -> bool:
    """Whether nothing else is on the line of *fixed*."""
    return not fixed.new and _whole_line(text, fixed) is not None


def _look(text: str, places: Sequence[Place], known: set[str]) -> File:
    goes: dict[tuple[int, int], Fixed] = {}
    named: dict[str, None] = {}
    for place in dict.fromkeys(places):
        # Of the same length, so that what is found is at the same place in the text.
        bare = place.comment.sub(lambda match: " " * len(match.group()), text)
        for match in place.pattern.finditer(bare):
            if len(goes) + len(named) > IDENTITIES_LIMIT:
                return File(text, (), (), too_many=True)
            start, end = match.span("drop" if "drop" in match.groupdict() else 0)
            value = _value(match)
            if not value or place.words.fullmatch(value) or not _has_before(bare, match, place):
                continue
            macs = {str(each.mac) for each in mac.find(match.group())}
            if macs & known:
                continue
            if macs or _is_opaque(value, place):
                if place.instead:  # with its key, since a number may be anywhere in the file
                    instead = text[match.start() : start] + place.instead
                    goes[start, end] = Fixed(match.start(), end, value, instead)
                else:
                    goes[start, end] = Fixed(start, end, value)
            else:
                named[value] = None
    if any("RawData" in text[start:end] for start, end in goes):
        # A type that is a number says nothing without the data.
        for match in _DUID_TYPE.finditer(text):
            goes[match.span()] = Fixed(*match.span(), match.group().strip())
    return File(text, tuple(sorted(_apart(goes.values()))), tuple(named))


def _has_before(text: str, match: re.Match[str], place: Place) -> bool:
    """Whether the line has the command that *match* is an option of."""
    line = text[max(match.start() - _LINE_LIMIT, 0) : match.start()].rpartition("\n")[2]
    return place.before.lower() in line.lower()


def _apart(found: Iterable[Fixed]) -> Iterator[Fixed]:
    """Those of *found* that do not overlap an earlier one."""
    done = 0
    for fixed in sorted(found):
        if fixed.start >= done:
            yield fixed
            done = fixed.end


def _value(match: re.Match[str]) -> str:
    """What is sent, without quotes and what follows them."""
    groups = match.groupdict()
    value = str(groups.get("value") or groups.get("double") or groups.get("single") or "").strip()
    quoted = re.match(r"=?\s*\"((?:[^\"\\]|\\.)*)\"|'([^']*)'", value)
    if quoted:
        return str(quoted[1] if quoted[1] is not None else quoted[2]).strip()
    return re.split(r"\s#", value, maxsplit=1)[0].removeprefix("=").strip()


def _is_opaque(value: str, place: Place) -> bool:
    """Whether *value* is bytes or a number rather than a name that a person chose."""
    return bool(
        _HEXADECIMAL.fullmatch(value)
        or _DIGITS.fullmatch(value)
        or _ESCAPE.search(value)
        or (place.numbers and _NUMBER.fullmatch(value))
    )


def _whole_line(text: str, fixed: Fixed) -> tuple[int, int] | None:
    """The line of *fixed* with its end, if there is nothing else on it."""
    if fixed.new:
        return None
    start = text.rfind("\n", 0, fixed.start) + 1
    end = text.find("\n", fixed.end)
    end = len(text) if end < 0 else end
    if text[start : fixed.start].strip() or text[fixed.end : end].strip():
        return None
    if "\n" in text[fixed.start : fixed.end]:
        return None
    return start, min(end + 1, len(text))
