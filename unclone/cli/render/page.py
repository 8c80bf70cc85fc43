"""Text that fits a number of columns: fields with a label, wrapped, no line ending in blanks.

Loads nothing that is slow to load: tables that need more are in ``unclone.cli.render``.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING

import click

from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Columns of output that is not read on a terminal, unless COLUMNS says otherwise.
PIPE_WIDTH = 80

#: From this width on, what has columns is shown as a table; below, its cells are stacked.
TABLE_WIDTH = 100

#: No narrower than this, whatever a terminal says.
_NARROWEST = 40

#: Columns before the text of a field: two blanks, the label, a blank.
LABEL_WIDTH = 17


def output_width() -> int:
    """Columns of standard output: COLUMNS, else the terminal's, else ``PIPE_WIDTH``."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given[:6]):
        return max(int(given[:6]), _NARROWEST)
    if not sys.stdout.isatty():
        return PIPE_WIDTH
    return max(shutil.get_terminal_size((PIPE_WIDTH, 24)).columns, _NARROWEST)


class Page:
    """Writes to standard output. All text is made printable here, whatever it came from."""

    def __init__(self, width: int = 0) -> None:
        self.width = width or output_width()
        self._styled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def headline(self, name: str, rest: str) -> None:
        """What the following is about, in bold, and *rest* after it."""
        for number, line in enumerate(wrapped(f"{name}{rest}", self.width, hanging=2)):
            end = len(printable(name)) if number == 0 else 0
            self._write(self._style(line[:end], bold=True) + line[end:])

    def whole_line(self, name: str, rest: str) -> None:
        """One line, however long, for who counts or searches lines."""
        self._write(self._style(printable(name), bold=True) + printable(rest))

    def line(self, text: str, *, indent: int = 2, hanging: int = 2, **style: bool | str) -> None:
        """A paragraph of its own; its further lines are indented by *hanging* more."""
        for line in wrapped(text, self.width - indent, hanging=hanging):
            self._write(" " * indent + self._style(line, **style))

    def field(self, label: str, texts: Iterable[str], **style: bool | str) -> None:
        """*texts*, each on lines of its own beside *label*; nothing when there are none."""
        shown = label
        for text in texts:
            for line in wrapped(text, self.width - LABEL_WIDTH, hanging=2):
                start = f"  {shown}".ljust(LABEL_WIDTH)
                self._write((self._style(start, **(style or {"bold": True})) + line).rstrip())
                shown = ""

    def table(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], indent: int = 2
    ) -> None:
        """*rows* in columns where they fit in the width, else the cells of each row stacked."""
        cells = [[printable(cell) for cell in row] for row in rows]
        widths = [
            max([columns(heading), *(columns(row[i]) for row in cells)])
            for i, heading in enumerate(headings)
        ]
        if self.width >= TABLE_WIDTH and indent + sum(widths) + 2 * len(widths) - 2 <= self.width:
            self._in_columns(headings, cells, widths, indent)
            return
        for row in cells:
            first, *others = row
            self.line(first, indent=indent)
            for heading, cell in zip(headings[1:], others, strict=True):
                if cell:
                    self.line(f"{heading}: {cell}", indent=indent + 2)

    def _in_columns(
        self,
        headings: Sequence[str],
        rows: Iterable[Sequence[str]],
        widths: Sequence[int],
        indent: int,
    ) -> None:
        for number, row in enumerate([headings, *rows]):
            cells = (
                cell + " " * (width - columns(cell))
                for cell, width in zip(row, widths, strict=True)
            )
            line = (" " * indent + "  ".join(cells)).rstrip()
            self._write(self._style(line, bold=True) if number == 0 else line)

    def _style(self, text: str, **style: bool | str) -> str:
        return click.style(text, **style) if self._styled and style and text else text  # type: ignore[arg-type]  # as click.style takes them

    def _write(self, line: str) -> None:
        click.echo(line)


def columns(text: str) -> int:
    """How many columns *text* takes on a terminal (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def wrapped(text: str, width: int, *, hanging: int = 0) -> list[str]:
    """*text*, made printable, in lines of at most *width* columns; further ones are indented.

    It is broken at blanks, and anywhere where a word alone is too long.
    """
    lines: list[str] = []
    line, room = "", width
    for word in printable(text).split(" "):
        rest = word
        if line and columns(line) + 1 + columns(rest) <= room:
            line += f" {rest}"
            continue
        if line:
            lines.append(line)
            room = width - hanging
        line = ""
        while columns(rest) > room:
            piece = _beginning(rest, room)
            lines.append(piece)
            rest, room = rest[len(piece) :], width - hanging
        line = rest
    lines.append(line)
    return [
        (" " * hanging if number else "") + line.rstrip()
        for number, line in enumerate(lines)
        if line.strip() or not number
    ]


def _beginning(text: str, width: int) -> str:
    """What of *text* fits in *width* columns, up to a slash where there is one; never nothing."""
    used = 0
    for number, char in enumerate(text):
        used += _columns_of(char)
        if used > width and number:
            slash = text.rfind("/", number // 2, number)
            return text[: slash + 1] if slash >= 0 else text[:number]
    return text


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def count(number: int, noun: str) -> str:
    """``1 change``, ``2 changes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
