"""Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when asked."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

#: The phases of a run and the words for them; the bar has one part for each.
PHASES = {
    "lock": "taking the lock",
    "launch": "opening the image",
    "plan": "reading the guest",
    "apply": "changing",
    "verify": "reading everything back",
    "commit": "committing",
}


class Progress(Protocol):
    """What a run tells about itself while it goes on; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def expect(self, images: int) -> None:
        """How many images there will be, where there are several."""

    def begin(self, label: str) -> None:
        """What follows is about *label* (an image), from the start or again."""

    def finish(self) -> None:
        """What :meth:`begin` named last is over."""

    def tick(self) -> None:
        """Time has passed; whoever asked for progress without a thread says so now and then."""

    def phase(self, name: str) -> None:
        """The run has come to the phase *name*, one of :data:`PHASES`."""

    def say(self, message: str) -> None:
        """Something worth a line."""

    def warn(self, message: str) -> None:
        """Something worth attention."""

    def fail(self, message: str, hint: str = "") -> None:
        """What went wrong; shown even when all else is silent."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand back while a person is asked something."""


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
    """A line for each phase: for logs, pipes and terminals that know no better."""

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
        about = f"{printable(self._label)}: " if self._label else ""
        self._stream.write(f"unclone: {about}{printable(message)}\n")
        self._stream.flush()


class SilentProgress(LineProgress):
    """Nothing but failures."""

    def phase(self, name: str) -> None:
        pass

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass
