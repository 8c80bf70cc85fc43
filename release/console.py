"""The commands that documentation shows, read from its ``console`` blocks and run in order."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

#: One bash for all commands, so that `cd` and variables last, as in a person's terminal.
_RUN_ALL = """
number=0
while [ -e "$1/$number.sh" ]; do
    . "$1/$number.sh" >"$1/$number.out" 2>"$1/$number.err" </dev/null
    echo $? >"$1/$number.status"
    number=$((number + 1))
done
"""


@dataclass(frozen=True)
class Command:
    """One command as it is shown. ``output`` is None where the documentation shows none."""

    text: str
    output: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed on stdout and on stderr."""

    command: Command
    status: int
    output: str
    errors: str


def commands(markdown: str) -> list[Command]:
    """Every command of every ``console`` block, in order.

    A block is either commands alone, or commands after ``$ `` with their output below them.
    """
    return [command for block in BLOCK.findall(markdown) for command in _in_block(block)]


def _in_block(block: str) -> Iterator[Command]:
    if not block.startswith("$ "):
        for text in re.split(r"(?<!\\)\n", block):
            if text.strip():
                yield Command(text)
        return
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        text, output = re.split(r"(?<!\\)\n", part, maxsplit=1)
        yield Command(text, output)


def run_all(
    shown: Sequence[Command], folder: Path, scripts: Path, env: Mapping[str, str]
) -> list[Outcome]:
    """Run *shown* one after the other in one bash that starts in *folder*.

    *scripts* is an empty folder for what is run and what it printed.
    """
    for number, command in enumerate(shown):
        (scripts / f"{number}.sh").write_text(f"{command.text}\n")
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", _RUN_ALL, "console", scripts],
        cwd=folder,
        env=env,
        check=False,
        timeout=1200,
    )
    outcomes = []
    for number, command in enumerate(shown):
        status = scripts / f"{number}.status"
        if not status.exists():
            raise RuntimeError(f"never came to its end: {command.text}")
        output = (scripts / f"{number}.out").read_text()
        errors = (scripts / f"{number}.err").read_text()
        outcomes.append(Outcome(command, int(status.read_text()), output, errors))
    return outcomes
