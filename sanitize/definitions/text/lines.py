"""Text of one setting a line, read for editing: each line knows where it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.text.source import Source

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


def lines_of(source: Source) -> Iterator[Line]:
    """The lines of a definition. Raises RefusedError behind the last that is read."""
    for number, line in enumerate(lines(source.text)):
        if number > LINE_LIMIT:
            raise RefusedError(
                f"{source.shown} has more than {LINE_LIMIT} lines",
                hint="That is no definition of a VM.",
            )
        yield line


def line_ending(text: str) -> str:
    """How the first line ends: what a new line should end in."""
    found = re.search(r"\r\n|\n|\r", text)
    return found[0] if found else "\n"
