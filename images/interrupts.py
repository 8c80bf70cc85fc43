"""The signals that end a run, and code that they do not interrupt.

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
    """Defer SIGINT, SIGTERM and SIGHUP to the end of the block, where they are raised again.

    The signal mask is inherited by tools that are started in the block, which share the terminal;
    the handlers are for signals that the kernel gives to another thread of this process.
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
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)  # the handlers get the blocked ones now
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

    Only the first one does: a service manager or a closing terminal sends several, and a second one
    must not interrupt the cleaning up. A signal that is ignored (nohup) stays ignored.
    """
    for number in _TERMINATING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminate)


def expect_again(number: int) -> None:
    """Handle signal *number* again: its exception was lost, and it is going to be sent again."""
    if number in _TERMINATING:
        signal.signal(number, _terminate)


def interrupt_number(error: BaseException | None) -> int:
    """The number of the signal that raised *error*, a KeyboardInterrupt."""
    return int(getattr(error, "number", signal.SIGINT))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    for each in _TERMINATING:
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)
