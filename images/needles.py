"""Looking for many byte strings at once.

A text of a megabyte searched for thirty strings is read thirty times. Mostly it holds none of
them, and one look at its letters tells: a string can only be where enough of the letters are
together that the strings are made of.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Bytes; in less, looking for each is as fast.
_SMALL = 512
#: Letters; when it takes more of them, they are together everywhere.
_FEW = 64


class Needles:
    """*needles*, to be looked for in many texts."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._needles = tuple(needles)
        letters = frozenset().union(*self._needles)
        self._table = bytes(letter in letters for letter in range(256))
        shortest = min(map(len, self._needles), default=0)
        self._longest = max(map(len, self._needles), default=0)
        self._together = b"\1" * shortest if len(letters) <= _FEW else b""
        self._gap = bytes([next((n for n in range(256) if n not in letters), 0)])

    def are_in(self, text: bytes) -> bool:
        """Whether any of them is in *text*."""
        likely = self.likely(text)
        return any(needle in likely for needle in self._needles)

    def found_in(self, text: bytes) -> Sequence[bytes]:
        """Those that are in *text*, in their own order."""
        likely = self.likely(text)
        return [needle for needle in self._needles if needle in likely]

    def found_in_pieces(self, pieces: Iterable[bytes | memoryview]) -> Sequence[bytes]:
        """As :meth:`found_in`, for a text of which no more than one piece is in memory."""
        found: set[bytes] = set()
        before = b""
        for piece in pieces:
            window = before + piece
            found.update(self.found_in(window))
            before = window[-(self._longest - 1) :] if self._longest > 1 else b""
        return [needle for needle in self._needles if needle in found]

    def likely(self, text: bytes) -> bytes:
        """The parts of *text* in which they can be, with none of their letters between them."""
        if len(text) < _SMALL or not self._together:
            return text
        letters = text.translate(self._table)
        parts = []
        start = letters.find(self._together)
        while start >= 0:
            end = letters.find(0, start)
            end = len(text) if end < 0 else end
            parts.append(text[start:end])
            start = letters.find(self._together, end)
        return self._gap.join(parts)
