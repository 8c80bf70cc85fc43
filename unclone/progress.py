"""Progress on stderr: a bar on a terminal, plain lines elsewhere, nothing when asked."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from images.text import printable

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

    def begin(self, label: str) -> None:
        """What follows is about *label* (an image)."""

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


def progress_for(*, quiet: bool, stream: TextIO | None = None) -> Progress:
    """The progress that fits *stream* (default: stderr)."""
    out = stream or sys.stderr
    if quiet:
        return SilentProgress(out)
    if out.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return BarProgress(out)
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

    def begin(self, label: str) -> None:
        self._label = label

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


class BarProgress:
    """A bar on a terminal, with everything said above it."""

    def __init__(self, stream: TextIO) -> None:
        self._label = ""
        self._console = Console(file=stream, markup=False, highlight=False, emoji=False)
        self._bar = RichProgress(
            SpinnerColumn(),
            # Markup would let a file name colour the terminal.
            TextColumn("{task.fields[label]}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=len(PHASES), label="", visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, label: str) -> None:
        self._label = label
        shown = printable(label, 60)
        self._bar.reset(self._task, total=len(PHASES), description="", label=shown, visible=True)

    def phase(self, name: str) -> None:
        done = list(PHASES).index(name) if name in PHASES else None
        self._bar.update(self._task, completed=done, description=PHASES.get(name, name))

    def say(self, message: str) -> None:
        self._print(Text(printable(message)))

    def warn(self, message: str) -> None:
        self._print(Text("warning: ", style="yellow") + Text(printable(message)))

    def fail(self, message: str, hint: str = "") -> None:
        about = f"{printable(self._label)}: " if self._label else ""
        self._print(Text("unclone: ", style="bold red") + Text(f"{about}{printable(message)}"))
        if hint:
            self._print(Text(f"  {printable(hint)}"))

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def _print(self, text: Text) -> None:
        # Not wrapped by us: a command or a path in a hint stays in one piece for copying.
        self._console.print(text, soft_wrap=True)
