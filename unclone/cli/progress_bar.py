"""Progress on a terminal. Apart from ``progress.py``, because rich takes long to load."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from unclone.cli.phases import PHASES
from unclone.images.text import about, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.progress import TaskID


class BarProgress:
    """A bar for each image on a terminal, with everything said above them."""

    def __init__(self, stream: TextIO, *, threads: bool = True) -> None:
        self._label = ""
        self._tasks: dict[str, TaskID] = {}
        self._all: TaskID | None = None
        self._expected = self._finished = 0
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
            auto_refresh=threads,
        )

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

    def expect(self, images: int) -> None:
        self._expected, self._finished = images, 0
        if self._all is not None:
            self._bar.remove_task(self._all)
            self._all = None
        if images > 1:
            self._all = self._bar.add_task(f"0 of {images}", total=images, label="images")

    def begin(self, label: str) -> None:
        self._label = label
        if label not in self._tasks:
            shown = printable(label, 60)
            self._tasks[label] = self._bar.add_task("", total=len(PHASES), label=shown)

    def finish(self) -> None:
        task = self._tasks.pop(self._label, None)
        self._label = ""
        if task is not None:
            self._bar.remove_task(task)
        self._finished += 1
        self._expected = max(self._expected, self._finished)
        if self._all is not None:
            words, total = f"{self._finished} of {self._expected}", self._expected
            self._bar.update(self._all, completed=self._finished, total=total, description=words)

    def tick(self) -> None:
        self._bar.refresh()

    def phase(self, name: str) -> None:
        done = list(PHASES).index(name) if name in PHASES else None
        if self._label in self._tasks:
            words = PHASES.get(name, name)
            self._bar.update(self._tasks[self._label], completed=done, description=words)

    def say(self, message: str) -> None:
        self._print(Text(self._about() + printable(message)))

    def warn(self, message: str) -> None:
        warning = Text(self._about()) + Text("warning: ", style="yellow")
        self._print(warning + Text(printable(message)))

    def fail(self, message: str, hint: str = "") -> None:
        self._print(Text("unclone: ", style="bold red") + Text(about(self._label, message)))
        if hint:
            self._print(Text(f"  {printable(hint)}"))

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def _about(self) -> str:
        """Whose line it is, where there are several."""
        return f"{printable(self._label)}: " if self._expected > 1 else ""

    def _print(self, text: Text) -> None:
        # Not wrapped by us: a command or a path in a hint stays in one piece for copying.
        self._console.print(text, soft_wrap=True)
