"""Results for people, on stdout; each thing that is shown has a module here.

Everything that came from a guest passes through :func:`plain`: no control character, no markup.
Colour is rich's business, which honours ``NO_COLOR`` and draws none into a pipe.
"""

from __future__ import annotations

import os
import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unclone.images.text import printable

#: Columns of output that is not read on a terminal: nothing is folded there.
PIPE_WIDTH = 1000


def console() -> Console:
    """A console on stdout, without markup, emoji codes or guessed highlights."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(
        file=sys.stdout, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False
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


def count(number: int, noun: str) -> str:
    """``1 change``, ``2 changes``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
