"""The signals that end a run, and work that they do not interrupt.

References: signal(7) (the signal mask is inherited by children and kept across execve).
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_TERMINATING = (signal.SIGTERM, signal.SIGHUP)

#: The signals that end a run.
INTERRUPTS = (signal.SIGINT, *_TERMINATING)


@contextmanager
def deferred() -> Iterator[None]:
    """Defer SIGINT, SIGTERM and SIGHUP to the end of the block; then they take their usual effect.

    Blocking them covers the tools started meanwhile, which share the terminal; the handlers cover
    other threads of this process, to which the kernel may give a signal instead.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python raises KeyboardInterrupt in the main thread only
        return
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        for number in INTERRUPTS:
            signal.signal(number, remember)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)  # the blocked ones are remembered now
        for deferred_number, handler in before.items():
            signal.signal(deferred_number, handler if handler is not None else signal.SIG_DFL)
        for missed in dict.fromkeys(received):
            signal.raise_signal(missed)


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP (*number*), which end a run as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def raise_terminated() -> None:
    """Have SIGTERM and SIGHUP raise :class:`Terminated` in the main thread.

    The first one counts: a service manager or a closing terminal sends several, and the next must
    not stop what puts things in order. One that is ignored (nohup) stays ignored.
    """
    for number in _TERMINATING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)


def expect_again(number: int) -> None:
    """As before signal *number* came: what it raised was lost, and it is going to be sent again."""
    if number in _TERMINATING:
        signal.signal(number, _terminate)


def interrupt_number(error: BaseException | None) -> int:
    """The signal by which *error*, a KeyboardInterrupt, was raised."""
    return int(getattr(error, "number", signal.SIGINT))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for each in _TERMINATING:
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)
