"""Searching texts for many byte strings at once.

Searching for thirty strings reads a text thirty times. So one pass comes first, with a table of the
bytes that occur in the strings: a string can only be in a run of such bytes that is no shorter than
the shortest string, and most texts have few of these runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Bytes; a shorter text is searched without that pass.
_SMALL = 512
#: Distinct bytes in the strings; with more, nearly all of a text is one run.
_FEW = 64


class Needles:
    """The byte strings *needles*, to be searched for in many texts."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._needles = tuple(needles)
        letters = frozenset().union(*self._needles)
        self._table = bytes(letter in letters for letter in range(256))
        shortest = min(map(len, self._needles), default=0)
        self._longest = max(map(len, self._needles), default=0)
        self._run = b"\1" * shortest if len(letters) <= _FEW else b""
        self._gap = bytes([next((n for n in range(256) if n not in letters), 0)])

    def are_in(self, text: bytes) -> bool:
        """Whether any of them is in *text*."""
        likely = self.likely(text)
        return any(needle in likely for needle in self._needles)

    def found_in(self, text: bytes) -> Sequence[bytes]:
        """Those that are in *text*, in the order in which they were given."""
        likely = self.likely(text)
        return [needle for needle in self._needles if needle in likely]

    def found_in_pieces(self, pieces: Iterable[bytes | memoryview]) -> Sequence[bytes]:
        """As :meth:`found_in`, for a text in *pieces*, of which one is in memory at a time."""
        found: set[bytes] = set()
        before = b""
        for piece in pieces:
            window = before + piece
            found.update(self.found_in(window))
            before = window[-(self._longest - 1) :] if self._longest > 1 else b""
        return [needle for needle in self._needles if needle in found]

    def likely(self, text: bytes) -> bytes:
        """The parts of *text* that can hold one of them, joined by a byte that is in none."""
        if len(text) < _SMALL or not self._run:
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
