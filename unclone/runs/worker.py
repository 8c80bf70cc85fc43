"""A worker process: forked from this one, works on one image after the other, sends what happens.

The messages are tuples over a pipe of multiprocessing: ``("phase" | "say" | "warn", text)``,
``("admission",)`` to ask for a virtual machine, answered when it may start, and last ``("done",
completed run)``, answered with the number of the next task, or with nothing to end it. Both ends
are this program, so pickle is safe; guests are read in further processes.

References: fork(2), setpgid(2) (Ctrl-C at a terminal reaches its foreground group only),
https://docs.python.org/3/library/multiprocessing.html#connection-objects.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from unclone.images.engines import admission
from unclone.images.errors import UncloneError
from unclone.images.interrupts import INTERRUPTS, raise_terminated
from unclone.images.process import die_with
from unclone.runs import failures
from unclone.runs.completed import CompletedRun, Result, complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from multiprocessing.connection import Connection

    from unclone.runs.listener import Listener

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Task(Generic[R]):
    """An image, and what to do with it."""

    image: str
    work: Callable[[Listener], R]


class Worker:
    """A process that begins with task *number* of *tasks*. *on_error* is called in it with errors.

    *others* are the workers that run already: the new process closes its copies of their pipes.
    """

    def __init__(
        self,
        tasks: Sequence[Task[Any]],
        number: int,
        *,
        on_error: Callable[[BaseException], None],
        others: Iterable[Worker],
    ) -> None:
        self._tasks = tasks
        #: The task that it works on; None when it was told to end.
        self.number: int | None = number
        self.image = tasks[number].image
        #: Whether another worker ran at any time while this one did its task.
        self.ran_concurrently = False
        #: Whether it waits for a virtual machine, and whether it was given one.
        self.waits_for_vm = self.has_vm = False
        self._pipe, remote = Pipe()
        # The child gets a copy of what is buffered now, which would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A signal before the child has a handler of its own would be lost, or end it half set up.
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
        try:
            self.pid = os.fork()
            if not self.pid:
                self._pipe.close()
                for other in others:
                    other.close()
                _main(remote, parent, tasks, number, on_error)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        remote.close()

    def give(self, number: int) -> None:
        """Have it do task *number* next: it has just done one."""
        self.number, self.image = number, self._tasks[number].image
        self.ran_concurrently = False
        with suppress(OSError):  # it has ended: receive() says so
            self._pipe.send_bytes(b"%d" % number)

    def dismiss(self) -> None:
        """Have it end: it has just done a task."""
        self.number = None
        with suppress(OSError):
            self._pipe.send_bytes(b"")

    def fileno(self) -> int:
        """The descriptor that is readable when there is a message."""
        return self._pipe.fileno()

    def receive(self) -> tuple[Any, ...]:
        """The next message; ``("ended", exit status)`` after the last, negative for a signal."""
        try:
            message: tuple[Any, ...] = self._pipe.recv()
        except (EOFError, OSError):  # it has ended, perhaps in the middle of a message
            _, status = os.waitpid(self.pid, 0)
            return "ended", os.waitstatus_to_exitcode(status)
        return message

    def admit(self) -> None:
        """Let it start the virtual machine that it asked for."""
        self.waits_for_vm, self.has_vm = False, True
        with suppress(OSError):  # it has ended: receive() says so
            self._pipe.send_bytes(b"admitted")

    def interrupt(self, number: int) -> None:
        """Send it signal *number*: it leaves the image as it was, or completes it, and ends."""
        os.kill(self.pid, number)

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()


class _PipeListener:
    """The listener of the run in the worker: sends everything to the parent."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def phase(self, name: str) -> None:
        self._pipe.send(("phase", name))

    def say(self, message: str) -> None:
        self._pipe.send(("say", message))

    def warn(self, message: str) -> None:
        self._pipe.send(("warn", message))


def _main(
    pipe: Connection,
    parent: int,
    tasks: Sequence[Task[Any]],
    number: int,
    on_error: Callable[[BaseException], None],
) -> NoReturn:
    def await_admission() -> None:
        pipe.send(("admission",))
        pipe.recv_bytes()

    status = 1
    try:
        _detach(parent)
        admission.set_admission(await_admission)
        while True:
            _do(tasks[number], pipe, on_error)
            following = pipe.recv_bytes()
            if not following:
                break
            number = int(following)
        status = 0
    finally:
        # The parent's cleanup handlers and buffers are not this process's to run or to write.
        sys.stderr.flush()
        os._exit(status)


def _do(task: Task[Any], pipe: Connection, on_error: Callable[[BaseException], None]) -> None:
    done = complete(task.image, _PipeListener(pipe), partial(_interruptible, task.work))
    if done.error is not None:
        on_error(done.error)
        done = CompletedRun(task.image, error=_portable(done.error))
    pipe.send(("done", done))
    del done
    gc.collect(1)  # a command looks for cycles rarely, and a worker has many images


def _detach(parent: int) -> None:
    """Leave the terminal's process group, and end when the parent does."""
    os.setpgid(0, 0)
    die_with(parent)  # the next run on the image finishes or discards what a killed one left
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise_terminated()


def _interruptible(work: Callable[[Listener], Result], listener: Listener) -> Result:
    """*work*, with signals let through as long as it lasts."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        return work(listener)
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)


def _portable(error: BaseException) -> BaseException:
    """*error* in a form that can be pickled, with the same message, hint and status."""
    if isinstance(error, UncloneError | KeyboardInterrupt):
        return error
    return failures.Relayed(failures.describe(error), failures.hint_of(error))
