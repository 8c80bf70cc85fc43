"""Text of one setting a line, read for editing: each line knows where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: More lines than any machine has settings.
LINE_LIMIT = 100_000

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")


class Line(NamedTuple):
    """A line from ``start`` to ``end``; ``next_start`` is where the next one starts."""

    text: str
    start: int
    end: int
    next_start: int

    @property
    def whole(self) -> tuple[int, int]:
        """What is taken out when the line is."""
        return self.start, self.next_start


def lines(text: str) -> Iterator[Line]:
    """The lines of *text*, whatever ends them."""
    at = 0
    while at < len(text):
        found = _LINE.match(text, at)
        if found is None:  # the pattern matches anything
            return
        yield Line(found[1], found.start(), found.end(1), found.end())
        at = found.end()


def line_ending(text: str) -> str:
    """How the first line ends: what a new line should end in."""
    found = re.search(r"\r\n|\n|\r", text)
    return found[0] if found else "\n"
