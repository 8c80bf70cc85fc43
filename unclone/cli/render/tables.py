"""Tables and grids in colour, made with rich.

Everything that came from a guest passes through :func:`plain`: no control character, no markup.
rich honours ``NO_COLOR``, and draws no colour into a pipe.
"""

from __future__ import annotations

import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unclone.cli.render.page import output_width
from unclone.images.text import printable


class _TrimmedConsole(Console):
    """A console that leaves no blanks at the ends of lines, with which rich fills its tables."""

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 (as rich's)
        with self.capture() as captured:
            super().print(*objects, **options)
        lines = captured.get().split("\n")
        self.file.write("\n".join(line.rstrip(" ") for line in lines))


def console() -> Console:
    """A console on stdout, as wide as a page, without markup, emoji codes or guessed highlights."""
    return _TrimmedConsole(
        file=sys.stdout,
        width=output_width(),
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=False,
    )


def plain(text: str, style: str = "") -> Text:
    """Text from anywhere, safe to print."""
    return Text(printable(text), style=style)


def new_table(*headings: str) -> Table:
    """An empty table with a column for each of *headings*; what is too long is folded."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def new_grid() -> Table:
    """Two columns; what does not fit is folded under its own column."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid
