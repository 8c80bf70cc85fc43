"""What ``unclone doctor`` found on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from unclone.cli.render.tables import new_grid, plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from unclone.runs.doctor import Check

_STATE_STYLES = {"ok": "green", "missing": "red", "optional": "yellow"}


def show_checks(out: Console, checks: Iterable[Check]) -> None:
    """What this host has and lacks."""
    grid = new_grid()
    for check in checks:
        mark = Text(check.state, _STATE_STYLES[check.state])
        grid.add_row(mark, plain(f"{check.title}: {check.found}"))
        if check.state != "ok":
            grid.add_row("", plain(f"needed for {check.needed_for}", "dim"))
            if check.fix:
                grid.add_row("", plain(check.fix))
    out.print(grid)
