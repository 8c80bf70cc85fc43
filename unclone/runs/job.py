"""One of several images, worked on in a process of its own: forked, told nothing, tells all.

A message is its length (4 bytes, little-endian) and a pickled tuple: ``("phase" | "say" | "warn",
text)``, ``("turn",)`` to ask for a virtual machine, answered by one byte, and last ``("done",
attempt)``. Both ends are this program; guests are read in further processes.

References: fork(2), setpgid(2) (Ctrl-C at a terminal reaches its foreground group only), prctl(2)
``PR_SET_PDEATHSIG``.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import socket
import struct
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from unclone.images.engines import admission as turns
from unclone.images.errors import UncloneError
from unclone.runs import failures
from unclone.runs.completed import CompletedRun, Result, complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unclone.runs.listener import Listener

_LENGTH = struct.Struct("<I")
_PIECE = 1024 * 1024
_PR_SET_PDEATHSIG = 1


class Job:
    """A process that works on the image called *image*; *show* gets what went wrong in it."""

    def __init__(
        self,
        image: str,
        work: Callable[[Listener], Result],
        *,
        show: Callable[[BaseException], None],
        others: Iterable[Job],
    ) -> None:
        self.image = image
        #: Whether other jobs were at work in its time.
        self.in_company = False
        #: Whether it asked for a virtual machine, and whether it may have one.
        self.asks = self.has_machine = False
        self._buffer = bytearray()
        self._ours, theirs = socket.socketpair()
        # What is in a buffer now would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # Ctrl-C before the child has its own way with it would be lost, or end it at a bad moment.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = os.fork()
            if not self.process:
                self._ours.close()
                for other in others:
                    other.close()
                _be_a_job(theirs, parent, image, work, show)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        theirs.close()

    def fileno(self) -> int:
        """The descriptor on which it tells things."""
        return self._ours.fileno()

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """What it has told; ``("ended", status)`` when that is all."""
        try:
            piece = self._ours.recv(_PIECE)
        except ConnectionResetError:
            piece = b""
        self._buffer += piece
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            message = pickle.loads(self._buffer[_LENGTH.size : end])  # noqa: S301 (our own fork)
            del self._buffer[:end]
            yield message
        if not piece:
            _, status = os.waitpid(self.process, 0)
            yield "ended", os.waitstatus_to_exitcode(status)

    def grant(self) -> None:
        """Let it start the virtual machine that it asked for."""
        self.asks, self.has_machine = False, True
        self._ours.sendall(b".")

    def interrupt(self) -> None:
        """As Ctrl-C: it leaves the image as it was, or completes it, and ends."""
        os.kill(self.process, signal.SIGINT)

    def close(self) -> None:
        """Listen no more."""
        self._ours.close()


class _Relay:
    """The listener of a run: tells the parent."""

    def __init__(self, to: socket.socket) -> None:
        self._to = to

    def phase(self, name: str) -> None:
        self.send("phase", name)

    def say(self, message: str) -> None:
        self.send("say", message)

    def warn(self, message: str) -> None:
        self.send("warn", message)

    def await_turn(self) -> None:
        self.send("turn")
        self._to.recv(1)

    def send(self, *message: object) -> None:
        body = pickle.dumps(message)
        self._to.sendall(_LENGTH.pack(len(body)) + body)


def _be_a_job(
    to: socket.socket,
    parent: int,
    image: str,
    work: Callable[[Listener], Result],
    show: Callable[[BaseException], None],
) -> NoReturn:
    status = 1
    try:
        _stand_alone(parent)
        relay = _Relay(to)
        turns.take_turns(relay.await_turn)
        done = complete(image, relay, partial(_interruptible, work))
        if done.error is not None:
            show(done.error)
            done = CompletedRun(image, error=_portable(done.error))
        relay.send("done", done)
        status = 0
    finally:
        # Nothing of the parent's may be undone here: neither its cleaning up nor its buffers.
        sys.stderr.flush()
        os._exit(status)


def _stand_alone(parent: int) -> None:
    os.setpgid(0, 0)
    # A parent that is killed takes its jobs along: the next run finishes or discards.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interruptible(work: Callable[[Listener], Result], listener: Listener) -> Result:
    """*work*, with Ctrl-C let through as long as it lasts."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return work(listener)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _portable(error: BaseException) -> BaseException:
    """*error* as it can be told to another process: with the same words and status."""
    if isinstance(error, UncloneError | KeyboardInterrupt):
        return error
    return failures.Relayed(failures.describe(error), failures.hint_of(error))
