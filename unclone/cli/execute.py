"""Execute a run for a command: with progress, and with its failure shown on stderr."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unclone.runs import failures
from unclone.runs.completed import complete

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from unclone.cli.progress import Progress
    from unclone.runs.completed import CompletedRun, R
    from unclone.runs.listener import Listener


def execute(
    ctx: click.Context, image: Path, progress: Progress, work: Callable[[Listener], R]
) -> CompletedRun[R]:
    """Run *work* on *image*. A failure is shown, and is in what is returned."""
    name = os.fspath(image)
    progress.begin(name)
    done = complete(name, progress, work)
    if done.error is not None:
        with progress.paused():
            show_traceback(ctx, done.error)
        progress.fail(failures.describe(done.error), failures.hint_of(done.error))
    progress.finish()
    return done


def show_traceback(ctx: click.Context, error: BaseException) -> None:
    """With ``--debug``, print where *error* was raised."""
    if ctx.meta.get("unclone.debug"):
        import traceback  # noqa: PLC0415 (slow to load)

        traceback.print_exception(error)
