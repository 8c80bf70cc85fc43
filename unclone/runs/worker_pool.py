"""Several images at once: in processes that do one after the other, as many as there is room for.

Processes and not threads, because libguestfs and Ctrl-C want a main thread, and because a crash
of one is then a failure of one image. They are forked from this process, which has everything
loaded; it starts no thread and works on no image itself. What a process has read and compiled for
one image serves the next; one that had a virtual machine ends with it.

A worker that has a virtual machine, or waits for one, does not count among ``jobs``: images that
need none go on. How many virtual machines run at once depends on the host's memory.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic

from unclone.images.engines import admission
from unclone.images.errors import InUseError, Outcome, UncloneError
from unclone.images.interrupts import INTERRUPTS
from unclone.runs import failures
from unclone.runs.completed import CompletedRun
from unclone.runs.worker import R, Task, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from unclone.runs.listener import BatchListener

__all__ = ["Task", "default_jobs", "run_all"]

#: Bytes that a worker without a virtual machine may need.
_WORKER_MEMORY = 200 * 1024 * 1024

#: The most workers that wait for a virtual machine.
_MAX_WAITING = 32

#: Seconds between two calls of the listener's ``tick``, and two looks for Ctrl-C.
_TICK = 0.1


def default_jobs() -> int:
    """As many as there are processors for this process, and memory."""
    processors = len(os.sched_getaffinity(0))
    return max(1, min(processors, _available_memory() // _WORKER_MEMORY))


def run_all(
    tasks: Sequence[Task[R]],
    listener: BatchListener,
    *,
    jobs: int,
    on_error: Callable[[BaseException], None],
    on_done: Callable[[int, CompletedRun[R]], None] = lambda *_: None,
) -> Sequence[CompletedRun[R]]:
    """Do *tasks*, up to *jobs* at a time. What is returned is in the order of *tasks*.

    *on_done* is called with the number and the end of each, as they come.

    The failure of one stops no other. Ctrl-C, SIGTERM or SIGHUP stops them all: each image is then
    as it was or complete, and those that were not begun are left out. *on_error* is called with
    what was raised, in the process that raised it.
    """
    listener.expect(len(tasks))
    gc.freeze()  # objects that exist now stay in memory pages that the workers share
    return _Pool(tasks, listener, jobs, on_error, on_done).run()


class _Pool(Generic[R]):
    def __init__(
        self,
        tasks: Sequence[Task[R]],
        listener: BatchListener,
        jobs: int,
        on_error: Callable[[BaseException], None],
        on_done: Callable[[int, CompletedRun[R]], None],
    ) -> None:
        self._tasks = tasks
        self._on_done = on_done
        self._listener = listener
        self._jobs = jobs
        self._on_error = on_error
        self._vm_limit = max(1, min(jobs, _available_memory() // admission.VM_MEMORY))
        self._pending = list(range(len(tasks)))
        #: Tasks whose image was in use, perhaps by another task: done again, one by one.
        self._retries: list[tuple[int, CompletedRun[R]]] = []
        self._workers: list[Worker] = []
        self._stopping = False
        #: The signals that came.
        self._signals: list[int] = []
        self._done: dict[int, CompletedRun[R]] = {}
        self._selector = selectors.DefaultSelector()

    def run(self) -> Sequence[CompletedRun[R]]:
        with _interrupts() as self._signals, self._selector:
            try:
                while self._workers or (not self._stopping and (self._pending or self._retries)):
                    if not self._stopping:
                        self._start_workers()
                    for key, _ in self._selector.select(_TICK):
                        self._receive(key.data)
                    self._listener.tick()
                    if self._signals and not self._stopping:
                        self._stopping = True
                        self._interrupt_workers(self._signals[0])
            except BaseException:
                self._interrupt_workers(signal.SIGINT)
                raise
            for number, done in self._retries:
                self._conclude(number, done)
            told = any(done.interrupted for done in self._done.values())
            if self._signals and self._pending and not told:
                # Those that ran are done: the first that was not begun tells of the signal.
                image = self._tasks[self._pending[0]].image
                error = failures.InterruptedRun(image, Outcome.UNCHANGED, self._signals[0])
                self._conclude(self._pending[0], CompletedRun(image, error=error))
        return [self._done[number] for number in sorted(self._done)]

    def _start_workers(self) -> None:
        while self._pending and self._has_room():
            self._start(self._pending.pop(0))
        if self._retries and not self._pending and not self._workers:
            number, _ = self._retries.pop(0)
            self._start(number)

    def _has_room(self) -> bool:
        working = [
            w for w in self._workers if w.number is not None and not w.waits_for_vm and not w.has_vm
        ]
        most = self._jobs + self._vm_limit + _MAX_WAITING
        return len(working) < self._jobs and len(self._workers) < most

    def _start(self, number: int) -> None:
        others = self._workers
        worker = Worker(self._tasks, number, on_error=self._on_error, others=others)
        self._workers = [*others, worker]
        self._selector.register(worker, selectors.EVENT_READ, worker)
        self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        """Note that *worker* works on another task."""
        for other in self._workers:
            if other is not worker and other.number is not None:
                other.ran_concurrently = worker.ran_concurrently = True
        self._listener.begin(worker.image)

    def _receive(self, worker: Worker) -> None:
        kind, *rest = worker.receive()
        if kind == "ended":
            self._end(worker, rest[0])
            return
        self._listener.begin(worker.image)
        if kind == "phase":
            self._listener.phase(rest[0])
        elif kind == "say":
            self._listener.say(rest[0])
        elif kind == "warn":
            self._listener.warn(rest[0])
        elif kind == "admission":
            worker.waits_for_vm = True
            self._admit()
        elif kind == "done":
            self._finish(worker, rest[0])
            self._go_on(worker, interrupted=rest[0].interrupted)

    def _admit(self) -> None:
        running = sum(worker.has_vm for worker in self._workers)
        for worker in self._workers:
            if worker.waits_for_vm and running < self._vm_limit:
                worker.admit()
                running += 1

    def _finish(self, worker: Worker, done: CompletedRun[R]) -> None:
        assert worker.number is not None  # noqa: S101  (it had a task)
        if isinstance(done.error, InUseError) and worker.ran_concurrently:
            self._retries.append((worker.number, done))
        else:
            self._conclude(worker.number, done)

    def _go_on(self, worker: Worker, *, interrupted: bool) -> None:
        """Give *worker* another task, if there is one that it may do."""
        if interrupted or self._signals or not self._pending or worker.has_vm:
            worker.dismiss()  # its virtual machine counts until it has ended
            return
        worker.give(self._pending.pop(0))
        self._begin(worker)

    def _end(self, worker: Worker, status: int) -> None:
        self._workers = [other for other in self._workers if other is not worker]
        self._selector.unregister(worker)
        worker.close()
        self._admit()
        if worker.number is not None:
            self._listener.begin(worker.image)
            self._finish(worker, CompletedRun(worker.image, error=_lost(worker.image, status)))

    def _conclude(self, number: int, done: CompletedRun[R]) -> None:
        self._done[number] = done
        self._listener.begin(done.image)
        if done.error is not None:
            self._listener.fail(failures.describe(done.error), failures.hint_of(done.error))
        self._listener.finish()
        self._on_done(number, done)

    def _interrupt_workers(self, number: int) -> None:
        for worker in self._workers:
            worker.interrupt(number)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and SIGHUP in the list yielded instead of being interrupted."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    wanted = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in wanted:
            signal.signal(number, remember)
        yield received
    finally:
        for number in wanted:
            signal.signal(number, before[number])


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
