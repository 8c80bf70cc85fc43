"""Several images at once: each in a process of its own, as many at a time as there is room for.

Processes and not threads, because libguestfs and Ctrl-C want a main thread, and because a crash
of one is then a failure of one. They are forked from this process, which has everything loaded;
it starts no thread and works on no image itself.

An image that needs a virtual machine does not count among the jobs while that runs, so it holds up
nobody who needs none; how many of those run at once is decided by the host's memory.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from unclone.images.engines import admission as turns
from unclone.images.errors import InUseError, UncloneError
from unclone.runs import failures
from unclone.runs.completed import CompletedRun, Result
from unclone.runs.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from unclone.runs.listener import BatchListener, Listener

R = TypeVar("R", bound=Result)

#: Bytes that a job without a virtual machine may need.
_JOB_MEMORY = 200 * 1024 * 1024

#: Jobs that wait for a virtual machine while others go on.
_MOST_WAITING = 32

#: Seconds between two looks at the clock of the bars, and at Ctrl-C.
_TICK = 0.1


@dataclass(frozen=True)
class Task(Generic[R]):
    """An image, and what to do with it."""

    image: str
    work: Callable[[Listener], R]


def default_jobs() -> int:
    """As many as there are processors for this process, and memory."""
    processors = len(os.sched_getaffinity(0))
    return max(1, min(processors, _available_memory() // _JOB_MEMORY))


def attempt_all(
    tasks: Sequence[Task[R]],
    listener: BatchListener,
    *,
    jobs: int,
    show: Callable[[BaseException], None],
) -> Sequence[CompletedRun[R]]:
    """Do *tasks*, up to *jobs* at a time; the attempts come in the order of the tasks.

    As with one at a time, the failure of one stops no other. Ctrl-C stops them all: each image is
    then as it was or complete, and those that were not begun are left out. *show* is called, in
    the process where it happened, with what went wrong.
    """
    listener.expect(len(tasks))
    gc.freeze()  # what is here now is shared with every job, as long as nobody touches it
    return _Pool(tasks, listener, jobs, show).run()


class _Pool(Generic[R]):
    def __init__(
        self,
        tasks: Sequence[Task[R]],
        listener: BatchListener,
        jobs: int,
        show: Callable[[BaseException], None],
    ) -> None:
        self._tasks = tasks
        self._listener = listener
        self._jobs = jobs
        self._show = show
        self._machines = max(1, min(jobs, _available_memory() // turns.MACHINE_MEMORY))
        self._waiting = list(range(len(tasks)))
        #: Tasks whose image was in use, maybe by another of them: once more, one by one.
        self._again: list[tuple[int, CompletedRun[R]]] = []
        self._running: dict[int, Job] = {}
        self._attempts: dict[int, CompletedRun[R]] = {}
        self._selector = selectors.DefaultSelector()

    def run(self) -> Sequence[CompletedRun[R]]:
        with _interrupts() as interrupted, self._selector:
            stopping = False
            try:
                while self._running or (not stopping and (self._waiting or self._again)):
                    if not stopping:
                        self._start()
                    for key, _ in self._selector.select(_TICK):
                        self._listen(key.data)
                    self._listener.tick()
                    if interrupted and not stopping:
                        stopping = True
                        self._stop()
            except BaseException:
                self._stop()
                raise
            for number, done in self._again:
                self._conclude(number, done)
        return [self._attempts[number] for number in sorted(self._attempts)]

    def _start(self) -> None:
        while self._waiting and self._has_room():
            self._begin(self._waiting.pop(0))
        if self._again and not self._waiting and not self._running:
            number, _ = self._again.pop(0)
            self._begin(number)

    def _has_room(self) -> bool:
        working = [job for job in self._running.values() if not job.asks and not job.has_machine]
        most = self._jobs + self._machines + _MOST_WAITING
        return len(working) < self._jobs and len(self._running) < most

    def _begin(self, number: int) -> None:
        task = self._tasks[number]
        others = self._running.values()
        job = Job(task.image, task.work, show=self._show, others=others)
        for other in others:
            other.in_company = job.in_company = True
        self._running[number] = job
        self._selector.register(job, selectors.EVENT_READ, number)
        self._listener.begin(job.image)

    def _listen(self, number: int) -> None:
        job = self._running[number]
        self._listener.begin(job.image)
        for kind, *rest in job.messages():
            if kind == "phase":
                self._listener.phase(rest[0])
            elif kind == "say":
                self._listener.say(rest[0])
            elif kind == "warn":
                self._listener.warn(rest[0])
            elif kind == "turn":
                job.asks = True
                self._grant()
            elif kind == "done":
                self._attempts[number] = rest[0]
            elif kind == "ended":
                self._end(number, rest[0])

    def _grant(self) -> None:
        taken = sum(job.has_machine for job in self._running.values())
        for job in self._running.values():
            if job.asks and taken < self._machines:
                job.grant()
                taken += 1

    def _end(self, number: int, status: int) -> None:
        job = self._running.pop(number)
        self._selector.unregister(job)
        job.close()
        self._grant()
        done = self._attempts.pop(number, None)
        if done is None:
            done = CompletedRun(job.image, error=_lost(job.image, status))
        if isinstance(done.error, InUseError) and job.in_company:
            self._again.append((number, done))
        else:
            self._conclude(number, done)

    def _conclude(self, number: int, done: CompletedRun[R]) -> None:
        self._attempts[number] = done
        self._listener.begin(done.image)
        if done.error is not None:
            self._listener.fail(failures.describe(done.error), failures.hint_of(done.error))
        self._listener.finish()

    def _stop(self) -> None:
        """Interrupt what runs, once."""
        for job in self._running.values():
            job.interrupt()


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C in the list yielded instead of being interrupted by it."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _lost(image: str, status: int) -> UncloneError:
    ending = f"by signal {-status}" if status < 0 else f"with status {status}"
    return UncloneError(
        f"the process that worked on it ended {ending}",
        hint=f"`unclone recover {image}` finishes or discards what it left.",
    )


def _available_memory() -> int:
    """Bytes that can be used without swapping; the limit of a container counts."""
    amounts = [_kibibytes("MemAvailable") * 1024]
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        amounts.append(int(limit.read_text()) - int(used.read_text()))
    return max(0, min(amounts))


def _kibibytes(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0
