"""Finds identifiers in bytes of any kind, in every spelling they may have."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from unclone.images.needles import Needles
from unclone.sanitize.identities.spellings import core, spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Whatever can be in a text, Base64 and Cisco's dots included; the rest is in binary structures.
_TEXT = re.compile(rb"[!-~]+")
#: A word may begin after an escaped character (``luks\\x2d1111``), whose last digit looks like one
#: of the identifier's own.
_INSIDE_WORD_BEFORE = re.compile(rb"(?<=[0-9A-Za-z])(?<!\\x[0-9a-f]{2})")
_INSIDE_WORD_AFTER = re.compile(rb"[0-9A-Za-z]")
#: ``dm-uuid-LVM-``: the UUID of a volume group, and without a sign between them that of a volume.
_BEFORE_A_VOLUME = re.compile(rb"(?<=LVM-)|(?<=LVM\\x2d)|(?<=LVM\\\\x2d)")
_GROUP_LENGTH = 32
#: ABCD-1234 is also in the middle of many a UUID.
_SERIAL_LENGTH = 9
#: Bytes. Only small files are tables or wide text; in large ones looking for zeros is slow.
_BINARY_LIMIT = 64 * 1024
#: Bytes of a spelling that is in no longer word by chance.
_LONG = 24
#: The groups of 128 bits in hexadecimal digits, and how many letters are looked for in each case.
_GROUPS = re.compile(rb"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")
_WINDOW, _MOST_LETTERS = 8, 5


class Finder:
    """Looks for every spelling of some values.

    With *words*, only where a spelling stands alone; without, also inside a longer word, as long
    as it is too long to be there by chance, and UUIDs and machine-ids whatever case each digit has.
    """

    def __init__(self, values: Iterable[str], *, words: bool) -> None:
        self._words = words
        self.values: dict[bytes, str] = {}
        for value in values:
            for spelled in spellings(value):
                self.values.setdefault(spelled, value)
        self._by_core: dict[bytes, list[bytes]] = {}
        self._binary: list[bytes] = []
        for spelled in self.values:
            if _TEXT.fullmatch(spelled):
                self._by_core.setdefault(core(spelled), []).append(spelled)
            else:
                self._binary.append(spelled)
        self._cores = Needles(self._by_core)
        self._any_case: dict[bytes, tuple[re.Pattern[bytes], bytes]] = {}
        for spelled in () if words else self.values:
            if match := _GROUPS.fullmatch(spelled):
                written = re.compile(b"[-:]?".join(match.groups()), re.IGNORECASE)
                for part in _in_any_case(match.groups()):
                    self._any_case.setdefault(part, (written, spelled))
        self._parts = Needles(self._any_case)

    @property
    def needles(self) -> Sequence[bytes]:
        """What has to be in a text that holds any of them: few, and quick to look for."""
        return sorted({*self._by_core, *self._any_case})

    def matches(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Where which spelling begins, in order and without overlaps; the longest first."""
        # Plain searches, not one large pattern: an EFI program has megabytes, and a hundred
        # alternatives tried at every byte take minutes.
        hits = [
            (start, -len(spelled), spelled)
            for shared in self._cores.found_in(content)
            for spelled in self._by_core[shared]
            for start in self._occurrences(content, spelled)
        ]
        if len(content) <= _BINARY_LIMIT:
            hits += [
                (start, -len(spelled), spelled)
                for spelled in self._binary
                for start in self._occurrences(content, spelled)
            ]
        if self._any_case:
            found = dict.fromkeys(self._any_case[part] for part in self._parts.found_in(content))
            for written, spelled in found:
                hits += [(m.start(), -len(m[0]), spelled) for m in written.finditer(content)]
        end = 0
        for start, _, spelled in sorted(hits):
            if start >= end:
                end = start + len(spelled)
                yield start, spelled

    def _occurrences(self, content: bytes, spelled: bytes) -> Iterator[int]:
        alone = self._words or len(spelled) < _LONG
        start = content.find(spelled)
        while start >= 0:
            if not alone or _stands_alone(content, start, start + len(spelled)):
                yield start
            start = content.find(spelled, start + 1)


def _in_any_case(groups: Iterable[bytes]) -> Iterator[bytes]:
    """A part of *groups* in all cases: of those that are long enough, that with fewest letters."""
    windows = [
        group[at : at + _WINDOW] for group in groups for at in range(len(group) - _WINDOW + 1)
    ]
    part = min(windows, key=lambda window: len(_letters(window)))
    part = part if len(_letters(part)) <= _MOST_LETTERS else part[:_MOST_LETTERS]
    for cases in product(*({bytes([c]).lower(), bytes([c]).upper()} for c in part)):
        yield b"".join(cases)


def _letters(digits: bytes) -> bytes:
    return bytes(digit for digit in digits if chr(digit).isalpha())


def _stands_alone(content: bytes, start: int, end: int) -> bool:
    """Whether what is there is a word of its own, and not part of a longer number."""
    if not _TEXT.fullmatch(content, start, end):
        return True  # binary: there are no words around it
    if end - start == _SERIAL_LENGTH and b"-" in (
        content[start - 1 : start],
        content[end : end + 1],
    ):
        return False
    if end - start == _GROUP_LENGTH and _BEFORE_A_VOLUME.match(content, start):
        return True
    return not (_INSIDE_WORD_BEFORE.match(content, start) or _INSIDE_WORD_AFTER.match(content, end))
