"""Work that Ctrl-C does not interrupt.

References: signal(7) (the signal mask is inherited by children and kept across execve).
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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

    before = {number: signal.getsignal(number) for number in _DEFERRED}
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        for number in _DEFERRED:
            signal.signal(number, remember)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)  # the blocked ones are remembered now
        for deferred_number, handler in before.items():
            signal.signal(deferred_number, handler if handler is not None else signal.SIG_DFL)
        for missed in dict.fromkeys(received):
            signal.raise_signal(missed)
