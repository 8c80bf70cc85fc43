"""The man pages of all commands, from what their ``--help`` says.

``python -m release.man_pages FOLDER`` writes them into FOLDER.

click formats a help through a formatter. The one here writes roff instead of text, so options and
sections are said in one place. Reference: man(7), groff_man(7).
"""

from __future__ import annotations

import datetime as dt
import inspect
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from release.help_formatter import MarkupFormatter
from unclone import __version__
from unclone.cli.main import COMMANDS, cli

if TYPE_CHECKING:
    from collections.abc import Sequence

#: ``docs/exit-status.md`` says more of each.
EXIT_STATUS = (
    ("0", "Done; also when nothing had to be done, or a plan was printed."),
    ("1", "Failed or interrupted; the image is as it was, unless the message names `recover`."),
    ("2", "The command line makes no sense."),
    ("3", "The image is in use."),
    ("4", "Refused: this guest or image cannot be changed safely."),
    ("5", "An old identity was found, or a machine is not proven; the image is as it was."),
)


class ManFormatter(MarkupFormatter):
    """Writes the source of a man page."""

    def spell_usage(self, prog: str, args: str) -> str:
        return f".SH SYNOPSIS\n.B {roff(prog)}\n{roff(args)}\n"

    def spell_heading(self, heading: str) -> str:
        return f".SH {roff(heading).upper()}\n"

    def write_paragraph(self) -> None:
        self.write(".PP\n")

    def spell_prose(self, lines: Sequence[str], *, first: bool) -> str:
        return f"{'' if first else '.PP'}\n{roff_lines(lines)}\n".lstrip("\n")

    def spell_verbatim(self, lines: Sequence[str]) -> str:
        return f".PP\n.nf\n{roff_lines(lines)}\n.fi\n"

    def spell_term(self, term: str, text: str) -> str:
        return f".TP\n.B {roff(term)}\n{roff(text)}\n"


def roff(text: str) -> str:
    """*text* as it is to be read: no control line, and hyphens that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\`")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def roff_lines(lines: Sequence[str]) -> str:
    return "\n".join(roff(line) for line in lines)


def man_page(command: click.Command, name: str, summary: str, day: str) -> str:
    """The page of *command*, called by *name* (``unclone clone``); *day* is in its footer."""
    ctx = click.Context(command, info_name=name, **cli.context_settings)
    formatter = ManFormatter()
    title = roff(name.replace(" ", "-"))
    formatter.write(f'.TH "{title.upper()}" "1" "{day}" "unclone {__version__}"\n')
    formatter.write(f".SH NAME\n{title} \\- {roff(summary.rstrip('.'))}\n")
    command.format_usage(ctx, formatter)
    with formatter.section("Description"):
        formatter.write_text(inspect.cleandoc(command.help or summary))
    command.format_options(ctx, formatter)
    if command.epilog:
        formatter.write(_examples(command.epilog))
    with formatter.section("Exit status"):
        formatter.write_dl(EXIT_STATUS)
    with formatter.section("See also"):
        others = ["unclone", *(f"unclone-{each}" for each in COMMANDS)]
        names = [f"\\fB{roff(each)}\\fP(1)" for each in others if roff(each) != title]
        formatter.write(",\n".join(names) + "\n")
    return formatter.getvalue()


def _examples(epilog: str) -> str:
    heading, _, lines = epilog.replace("\b", "").strip().partition("\n")
    body = roff_lines([line.removeprefix("  ") for line in lines.splitlines()])
    return f".SH {roff(heading.rstrip(':')).upper()}\n.nf\n{body}\n.fi\n"


def commands() -> dict[str, tuple[click.Command, str]]:
    """The program and its commands, as they are called, each with a line that says what it does."""
    found: dict[str, tuple[click.Command, str]] = {
        "unclone": (cli, "turn a copied VM disk image into a machine of its own, offline")
    }
    root = click.Context(cli, info_name="unclone")
    for name, summary in COMMANDS.items():
        if command := cli.get_command(root, name):
            found[f"unclone {name}"] = (command, summary[0].lower() + summary[1:])
    return found


def write_pages(folder: Path) -> list[Path]:
    """Write the page of the program and of each command into *folder*; return their paths."""
    epoch = float(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    day = dt.datetime.fromtimestamp(epoch, dt.UTC).date().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (command, summary) in commands().items():
        path = folder / f"{name.replace(' ', '-')}.1"
        path.write_text(man_page(command, name, summary, day))
        written.append(path)
    return written


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
