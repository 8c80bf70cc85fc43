"""Lines of text for people, for commands that are over before rich is loaded."""

from __future__ import annotations

import os
from typing import Any

import click

from unclone.images.text import printable


def plain(text: str, **style: Any) -> str:  # noqa: ANN401 (what click.style takes)
    """Text from anywhere, safe to print, in *style* (``bold``, ``dim``, ``fg``)."""
    return click.style(printable(text), **style)


def print_line(*parts: str, err: bool = False) -> None:
    """Print *parts* in one line on stdout, or stderr. Only a terminal gets colours."""
    no_colour = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    click.echo("".join(parts), err=err, color=False if no_colour else None)
