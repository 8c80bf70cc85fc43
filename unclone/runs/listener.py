"""What a run tells its caller while it goes on."""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Listener(Protocol):
    """Receives the progress of one run."""

    def phase(self, name: str) -> None:
        """The run has come to lock, launch, plan, apply, verify or commit."""

    def say(self, message: str) -> None:
        """Something worth a line."""

    def warn(self, message: str) -> None:
        """Something worth attention."""


class BatchListener(Listener, Protocol):
    """Receives the progress of several runs; what is told is about the run begun last."""

    def expect(self, images: int) -> None:
        """How many images there will be, where there are several."""

    def begin(self, label: str) -> None:
        """What follows is about *label* (an image), from the start or again."""

    def finish(self) -> None:
        """The run that :meth:`begin` named last has ended."""

    def tick(self) -> None:
        """Time has passed: called several times a second, in place of a thread with a clock."""

    def fail(self, message: str, hint: str = "") -> None:
        """What went wrong; shown even when everything else is silent."""


class NullListener:
    """For a caller that only wants the result, of one run or of several."""

    def phase(self, name: str) -> None:
        pass

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    def expect(self, images: int) -> None:
        pass

    def begin(self, label: str) -> None:
        pass

    def finish(self) -> None:
        pass

    def tick(self) -> None:
        pass

    def fail(self, message: str, hint: str = "") -> None:
        pass


_current: ContextVar[Listener] = ContextVar("listener")


def current_listener() -> Listener:
    """The listener of what an executor does here; without one a :class:`NullListener`."""
    return _current.get(NullListener())


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have *listener* be the current one."""
    token = _current.set(listener)
    try:
        yield
    finally:
        _current.reset(token)


class PhaseTimer:
    """Passes the phases on to *listener*, and measures how long each takes."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._seconds: dict[str, float] = {}
        self._current = ""
        self._since = 0.0

    def phase(self, name: str) -> None:
        """As :meth:`Listener.phase`."""
        self.stop()
        self._current, self._since = name, time.monotonic()
        self.listener.phase(name)

    def stop(self) -> dict[str, float]:
        """End the current phase. Returns the seconds of each."""
        if self._current:
            spent = time.monotonic() - self._since
            self._seconds[self._current] = round(spent, 3)
            self._current = ""
        return dict(self._seconds)
