"""The steps of ``unclone steps``: all in a table, or one with all that is known about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from unclone.cli.render.tables import new_grid, new_table, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from unclone.sanitize.step import Step, StepInfo


def show_steps(out: Console, steps: Iterable[tuple[StepInfo, bool]]) -> None:
    """Every step, and whether it runs."""
    table = new_table("step", "kind", "profile", "runs", "title")
    for info, runs in steps:
        mark = Text("yes", "green") if runs else Text("no", "dim")
        table.add_row(plain(info.id), Text(info.kind), Text(info.profile), mark, plain(info.title))
    out.print(table)


def show_step(out: Console, step: Step, details: Sequence[tuple[str, Sequence[str]]]) -> None:
    """All that is known about one step. *details* are the fields of a catalogue row."""
    info = step.info
    out.print(plain(info.id, "bold") + plain(f": {info.title}"))
    fields = [
        ("kind", [info.kind.value]),
        ("profile", [info.profile.value]),
        ("why", [info.why]),
        ("off because", [info.off_because] if info.off_because else []),
        *details,
        ("sources", info.sources),
    ]
    grid = new_grid()
    for name, values in fields:
        for number, value in enumerate(values):
            grid.add_row(Text(name if number == 0 else "", "dim"), plain(value))
    out.print(Padding(grid, (0, 0, 0, 2), expand=False))
