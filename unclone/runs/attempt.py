"""One image at a time: a failure of one is told, kept for the report, and stops no other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from unclone.images.errors import ExitStatus
from unclone.runs import failures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import click

    from unclone.cli.progress import Progress
    from unclone.runs.run import Listener


class Result(Protocol):
    """What a run returns."""

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Attempt(Generic[R]):
    """One image: what came of it, or why nothing did."""

    image: str
    result: R | None = None
    error: BaseException | None = None

    @property
    def status(self) -> ExitStatus:
        """Its part of the exit status."""
        return failures.status_of(self.error) if self.error else ExitStatus.DONE

    @property
    def interrupted(self) -> bool:
        """Whether the person wants no more."""
        return isinstance(self.error, KeyboardInterrupt)

    def to_json(self) -> dict[str, Any]:
        """Its entry in ``results``."""
        if self.result is not None:
            return self.result.to_json()
        return failures.to_json(self.image, self.error or KeyboardInterrupt())


class Watched:
    """Passes progress on, and remembers how far a run came."""

    def __init__(self, progress: Listener) -> None:
        self._progress = progress
        self.reached = ""

    def phase(self, name: str) -> None:
        """As :meth:`unclone.cli.progress.Progress.phase`."""
        self.reached = name
        self._progress.phase(name)

    def say(self, message: str) -> None:
        """As :meth:`unclone.cli.progress.Progress.say`."""
        self._progress.say(message)

    def warn(self, message: str) -> None:
        """As :meth:`unclone.cli.progress.Progress.warn`."""
        self._progress.warn(message)


def attempt(
    ctx: click.Context, image: Path, progress: Progress, work: Callable[[Watched], R]
) -> Attempt[R]:
    """Run *work* on *image*; a failure is shown and returned."""
    name = os.fspath(image)
    progress.begin(name)
    done = tried(name, Watched(progress), work)
    if done.error is not None:
        with progress.paused():
            show_traceback(ctx, done.error)
        progress.fail(failures.describe(done.error), failures.hint_of(done.error))
    progress.finish()
    return done


def tried(name: str, watched: Watched, work: Callable[[Watched], R]) -> Attempt[R]:
    """Run *work* on the image called *name*; nothing is shown but what *work* says itself."""
    try:
        return Attempt(name, result=work(watched))
    except KeyboardInterrupt as interrupt:
        error: BaseException = interrupt
        if watched.reached == "commit":
            # The commit itself is never cut in half, but it may have been completed.
            error = failures.InterruptedCommit(name)
    except Exception as failure:  # noqa: BLE001 (the others must still run; --debug shows it)
        error = failure
    return Attempt(name, error=error)


def show_traceback(ctx: click.Context, error: BaseException) -> None:
    """With ``--debug``, where *error* came from."""
    if ctx.meta.get("unclone.debug"):
        import traceback  # noqa: PLC0415 (slow to load)

        traceback.print_exception(error)
