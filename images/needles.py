"""Searching texts for many byte strings at once.

Searching for thirty strings reads a text thirty times. So one pass comes first, with a table of the
bytes that occur in the strings: a string can only be in a run of such bytes that is no shorter than
the shortest string, and most texts have few of these runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Bytes and strings; for less, to search takes less time than to find the runs.
_SMALL, _MANY = 16 * 1024, 3
#: Distinct bytes in strings that are searched for at once; with more, most of a text is one run.
_FEW = 70
#: Bytes; words of a text are seldom as long.
_SHORT = 16


#: What identifiers are mostly spelled in.
_DIGITS = frozenset(b"0123456789abcdefABCDEF-:.")


class Needles:
    """The byte strings *needles*, to be searched for in many texts."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._needles = tuple(needles)
        self._longest = max(map(len, self._needles), default=0)
        text = [needle for needle in self._needles if needle.isascii()]
        self._text = Group(text) if text else None
        # In a short text, a pass tells more about strings of few bytes, and about long ones.
        alike: dict[tuple[bool, bool, bool], list[bytes]] = {}
        for needle in self._needles:
            key = needle.isascii(), _DIGITS.issuperset(needle), len(needle) < _SHORT
            alike.setdefault(key, []).append(needle)
        self._groups = [(key[0], Group(group)) for key, group in alike.items()]

    def are_in(self, text: bytes) -> bool:
        """Whether any of them is in *text*."""
        return any(self._in_turn(text))

    def found_in(self, text: bytes) -> Sequence[bytes]:
        """Those that are in *text*, in the order in which they were given."""
        found = {needle for some in self._in_turn(text) for needle in some}
        return [needle for needle in self._needles if needle in found] if found else []

    def found_in_pieces(self, pieces: Iterable[bytes | memoryview]) -> Sequence[bytes]:
        """As :meth:`found_in`, for a text in *pieces*, of which one is in memory at a time."""
        found: set[bytes] = set()
        before = b""
        for piece in pieces:
            window = before + piece
            found.update(self.found_in(window))
            before = window[-(self._longest - 1) :] if self._longest > 1 else b""
        return [needle for needle in self._needles if needle in found]

    def _in_turn(self, text: bytes) -> Iterator[Sequence[bytes]]:
        """Those of each group that are in *text*."""
        reduced = text
        if self._text is not None and len(text) >= _SMALL:
            reduced = self._text.likely(text)
        for is_text, group in self._groups:
            yield group.found_in(reduced if is_text else text)


class Group:
    """Some strings that are alike in their bytes and their length."""

    def __init__(self, needles: Sequence[bytes]) -> None:
        self._needles = needles
        letters = frozenset().union(*needles)
        self._table = bytes(letter in letters for letter in range(256))
        shortest = min(map(len, needles))
        self._run = b"\1" * shortest if len(letters) <= _FEW else b""
        self._gap = bytes([next((n for n in range(256) if n not in letters), 0)])

    def found_in(self, text: bytes) -> Sequence[bytes]:
        """Those that are in *text*, in the order in which they were given."""
        if len(self._needles) >= _MANY and self._run not in text.translate(self._table):
            return ()  # as in most: one look, and not one for each of them
        return [needle for needle in self._needles if needle in text]

    def likely(self, text: bytes) -> bytes:
        """The parts of *text* that can hold one of them, joined by a byte that is in none."""
        if not self._run:
            return text
        letters = text.translate(self._table)
        parts = []
        start = letters.find(self._run)
        while start >= 0:
            end = letters.find(0, start)
            end = len(text) if end < 0 else end
            parts.append(text[start:end])
            start = letters.find(self._run, end)
        return self._gap.join(parts)
