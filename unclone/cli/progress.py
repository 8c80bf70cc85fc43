"""Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when asked."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from unclone.cli.phases import PHASES
from unclone.images.text import about, printable
from unclone.runs.listener import BatchListener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class Progress(BatchListener, Protocol):
    """Shows the progress of runs; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Show nothing while a question is asked."""


def progress_for(*, quiet: bool, stream: TextIO | None = None, threads: bool = True) -> Progress:
    """The progress that fits *stream* (default: stderr).

    Without *threads* it starts none, so that this process can fork; a bar then moves only when
    something happens or :meth:`Progress.tick` is called.
    """
    out = stream or sys.stderr
    if quiet:
        return SilentProgress(out)
    if out.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from unclone.cli.progress_bar import BarProgress  # noqa: PLC0415 (slow to load)

        return BarProgress(out, threads=threads)
    return LineProgress(out)


class LineProgress:
    """A line for each phase: for logs, pipes and simple terminals."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def expect(self, images: int) -> None:
        pass

    def begin(self, label: str) -> None:
        self._label = label

    def finish(self) -> None:
        self._label = ""

    def tick(self) -> None:
        pass

    def phase(self, name: str) -> None:
        self._write(PHASES.get(name, name))

    def say(self, message: str) -> None:
        self._write(message)

    def warn(self, message: str) -> None:
        self._write(f"warning: {message}")

    def fail(self, message: str, hint: str = "") -> None:
        self._write(message)
        if hint:
            self._stream.write(f"  {printable(hint)}\n")
            self._stream.flush()

    @contextmanager
    def paused(self) -> Iterator[None]:
        yield

    def _write(self, message: str) -> None:
        self._stream.write(f"unclone: {about(self._label, message)}\n")
        self._stream.flush()


class SilentProgress(LineProgress):
    """Nothing but failures."""

    def phase(self, name: str) -> None:
        pass

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass
