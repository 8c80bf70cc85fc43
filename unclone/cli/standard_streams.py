"""Standard output and standard error that are closed, full, or not read any more.

Whether a report could be printed changes nothing about what a run did. So a report that cannot be
written ends a command with the status that the run had, and says so on standard error; a command
whose output is all there is to it fails. What cannot be written to standard error is dropped.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click

from unclone.images.errors import ExitStatus, UncloneError
from unclone.images.text import about, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from unclone.runs.completed import CompletedRun

_SETTLED = "unclone.settled"


class UnwritableError(UncloneError):
    """Standard output cannot be written. *closed_pipe*: its reader has ended."""

    def __init__(self, reason: str, *, closed_pipe: bool = False) -> None:
        super().__init__(f"cannot write to standard output: {reason}")
        self.closed_pipe = closed_pipe


class _Output(io.FileIO):
    """Standard output: raises UnwritableError once, and drops what comes after."""

    def __init__(self, *, was_closed: bool) -> None:
        super().__init__(1, "w", closefd=False)
        self._reason = "it is closed" if was_closed else ""
        self._failed = False

    def write(self, content: Any) -> int:  # noqa: ANN401 (any buffer)
        if self._failed:
            return len(content)
        try:
            if not self._reason:
                while (written := super().write(content)) is None:  # it does not block
                    select.select([], [self], [])
                return written
        except OSError as error:
            self._failed = True
            closed_pipe = error.errno == errno.EPIPE
            raise UnwritableError(str(error.strerror), closed_pipe=closed_pipe) from error
        self._failed = True
        raise UnwritableError(self._reason)


class _Remarks(io.FileIO):
    """Standard error: there is nowhere to say that it cannot be written."""

    def write(self, content: Any) -> int:  # noqa: ANN401 (any buffer)
        try:
            written = super().write(content)
        except OSError:
            written = None
        return len(content) if written is None else written


def prepare() -> None:
    """Make the standard streams safe to use, whatever they are connected to.

    A closed one gets a file, or the next file that is opened, an image perhaps, would take its
    place. A locale that cannot encode a character gets an escape of it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 (its signature)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: PTH123, SIM115 (as long as the process)
    sys.stdout = _text(_Output(was_closed=sys.stdout is None), sys.stdout)
    sys.stderr = _text(_Remarks(2, "w", closefd=False), sys.stderr, line_buffering=True)


def settle(ctx: click.Context, status: ExitStatus, outcomes: Iterable[str] = ()) -> None:
    """From now on the command ends with *status*, also when its report cannot be printed.

    *outcomes* are then said on standard error, a line each; they are not asked for before.
    """
    ctx.meta[_SETTLED] = status, outcomes


def settle_runs(
    ctx: click.Context, runs: Collection[CompletedRun[Any]], *, changing: bool = True
) -> None:
    """As :func:`settle`, for *runs*; without *changing* all there is to them is the report."""
    from unclone.runs import failures  # noqa: PLC0415 (not for --help)

    status = failures.worst([each.status for each in runs])
    if changing:
        settle(ctx, status, map(_outcome, runs))  # not all at once: there may be many
    else:
        settle(ctx, status or ExitStatus.FAILED)


def _outcome(done: CompletedRun[Any]) -> str:
    from unclone.runs import failures  # noqa: PLC0415 (not for --help)

    what = failures.describe(done.error) if done.error else done.to_json()["status"]
    return about(done.image, what)


def outcomes(ctx: click.Context) -> tuple[str, ...]:
    """What has been settled, to be said when the report cannot be."""
    return _settled(ctx)[1]


def explain(error: UnwritableError, ctx: click.Context | None = None) -> ExitStatus:
    """Say on standard error that there is no report, and return the status to end with."""
    status, lines = _settled(ctx)
    if lines or not error.closed_pipe:  # `| head` alone is no reason to complain
        lost = "; the report is lost. What was done:" if lines else ""
        click.echo(f"unclone: {error.message}{lost}", err=True)
    for line in lines:
        click.echo(f"  {line}", err=True)
    return status


def _settled(ctx: click.Context | None) -> tuple[ExitStatus, tuple[str, ...]]:
    if ctx is None or _SETTLED not in ctx.meta:
        return ExitStatus.FAILED, ()
    status, lines = ctx.meta[_SETTLED]
    told = tuple(map(printable, lines))
    ctx.meta[_SETTLED] = status, told
    return status, told


def _text(raw: io.FileIO, before: TextIO | None, **settings: Any) -> TextIO:  # noqa: ANN401 (TextIOWrapper's)
    encoding = "utf-8" if before is None else before.encoding
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors="backslashreplace", **settings)
