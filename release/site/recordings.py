"""Pictures of what the commands of a document print: they are run, and drawn with rich."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from release import console

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Columns of a picture, and of what is run.
_WIDTH = 80


def record(document: str, files: Path, pictures: Path, scratch: Path) -> str:
    """*document* with a picture under each block of commands that print something.

    The commands are run in order, in a folder with a copy of *files*. Pictures go to the new
    folder *pictures*, from which the folder of the document is a sibling; *scratch* is for the run.
    Raises ``RuntimeError`` when a command fails.
    """
    work, home, scripts = scratch / "work", scratch / "home", scratch / "scripts"
    shutil.copytree(files, work)
    for folder in (home, scripts, pictures):
        folder.mkdir()
    blocks = [[*console.commands(found[0])] for found in console.BLOCK.finditer(document)]
    places = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {**os.environ, "HOME": str(home), "COLUMNS": str(_WIDTH), "PATH": places}
    outcomes = console.run_all([each for block in blocks for each in block], work, scripts, env)
    for each in outcomes:
        if each.status:
            raise RuntimeError(f"$ {each.command.text}\n{each.output}{each.errors}")
    rest = iter(outcomes)
    shown = iter([[next(rest) for _ in block] for block in blocks])
    number = 0

    def with_picture(block: re.Match[str]) -> str:
        nonlocal number
        lines = next(shown)
        if not any(each.output for each in lines):
            return block[0]
        number += 1
        name = f"{number}.svg"
        (pictures / name).write_text(_drawn(lines, work))
        commands = ", ".join(each.command.text for each in lines if each.output)
        return f"{block[0]}\n\n![What it prints: {commands}](../pictures/{name})"

    return console.BLOCK.sub(with_picture, document)


def _drawn(outcomes: Sequence[console.Outcome], work: Path) -> str:
    """The terminal after *outcomes* in the folder *work*, as SVG that loads nothing."""
    out = Console(record=True, width=_WIDTH, file=io.StringIO(), highlight=False)
    for each in outcomes:
        out.print(Text.assemble(("$ ", "bold green"), (each.command.text, "bold")))
        out.print(Text(each.output.rstrip("\n").replace(str(work), "/srv/trial")))
    drawn = out.export_svg(title="unclone")
    # rich names a font of a server; the reader's own fixed-width font does as well.
    return re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL).replace("Fira Code, ", "")
