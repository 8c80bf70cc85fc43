"""Identifiers of which a file holds only a part: in two variables, or before a ``*``.

GRUB joins ``${a}${b}`` when it boots (GRUB manual, "Variable expansion"), and a udev rule matches
by pattern (udev(7)), as ``case`` of a shell does. Nothing rewrites a part; where one is left in a
file that the next boot reads, the file may mean the old device.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.sanitize.change import Retired

_DASH = r"(?:-|\\+x2d|\\+055|\\+-)"
_UUID = rf"[0-9a-f]{{8}}(?:{_DASH}[0-9a-f]{{4}}){{3}}{_DASH}[0-9a-f]{{12}}"
_WORD = re.compile(rb"[^\s\"'|=,;(){}]+")
_WILD = re.compile(rb"[*?\[]")
#: Letters and digits that a pattern must name, to be one for a certain identifier.
_FEWEST = 4


class PartialValues:
    """Looks for parts of the identifiers of devices among *retired*."""

    def __init__(self, retired: Sequence[Retired]) -> None:
        self._devices = [old for old in reversed(retired) if old.kind in {*IdentifierKind}]
        self._parts: dict[bytes, Retired] = {}
        for old in self._devices:
            if re.fullmatch(_UUID, old.value.lower()):
                for group in old.value.lower().split("-")[::4]:
                    if len(set(group)) > 1:  # and not 00000000
                        self._parts[group.encode()] = old
        each = "|".join(part.decode() for part in self._parts)
        # A whole UUID is matched first, so that its groups are none.
        text = rf"{_UUID}|(?<![0-9a-z])(?P<part>{each})(?![0-9a-z])"
        self._pattern = re.compile(text.encode(), re.IGNORECASE)

    @property
    def needles(self) -> Sequence[bytes]:
        """One of these is in a text that holds a part, but for a pattern's."""
        return sorted({case for part in self._parts for case in (part, part.upper())})

    def matches(self, content: bytes) -> Iterator[tuple[Retired, int]]:
        """What a part in *content* belongs to, and its line (from 1); not in comments."""
        for match in self._pattern.finditer(content) if self._parts else ():
            part = match["part"]
            if part and not _is_comment(content, match.start()):
                yield self._parts[part.lower()], content.count(b"\n", 0, match.start()) + 1

    def patterns(self, content: bytes) -> Iterator[tuple[Retired, int]]:
        """What a shell pattern in *content* matches, and its line (from 1); not in comments."""
        for match in _WORD.finditer(content) if _WILD.search(content) else ():
            word = match[0].rpartition(b"/")[2].decode("latin-1")
            named = sum(map(str.isalnum, re.sub(r"\[[^]]*\]", "", word)))
            if named < _FEWEST or not _WILD.search(match[0]) or _is_comment(content, match.start()):
                continue
            for old in self._devices:
                if any(fnmatchcase(v, word) for v in (old.value.lower(), old.value.upper())):
                    yield old, content.count(b"\n", 0, match.start()) + 1


def _is_comment(content: bytes, position: int) -> bool:
    line = content[content.rfind(b"\n", 0, position) + 1 : position]
    return line.lstrip().startswith(b"#")
