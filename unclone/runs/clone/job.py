"""The making of machines, given to an executor: each is a call that can be pickled."""

from __future__ import annotations

import os
from concurrent.futures import CancelledError, Executor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from unclone.runs import failures
from unclone.runs.clone import making
from unclone.runs.completed import CompletedRun
from unclone.runs.executor import LocalExecutor
from unclone.runs.listener import current_listener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from unclone.runs.clone.batch import Batch
    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.order import MadeFrom, Order
    from unclone.runs.listener import BatchListener


@dataclass(frozen=True)
class Job:
    """One machine to make."""

    order: Order
    golden: Golden
    source: MadeFrom
    name: str
    batch: Batch

    def __call__(self) -> Machine:
        """Make it."""
        identity = self.batch.identity(self.name)
        return making.make(
            self.order, self.golden, self.source, identity, self.batch, current_listener()
        )

    def __str__(self) -> str:
        """Its folder."""
        return os.fspath(self.batch.path(self.name))


def execute(
    jobs: Sequence[Job],
    executor: Executor | None,
    listener: BatchListener,
    *,
    workers: int,
    on_error: Callable[[BaseException], None],
    on_done: Callable[[CompletedRun[Machine]], None],
) -> None:
    """Do *jobs* in *executor*, or in up to *workers* processes of this host.

    *on_done* is called with the end of each as it comes; those that an interruption left out have
    none. *executor* is not shut down.
    """
    lock, raised = Lock(), list[BaseException]()

    def conclude(job: Job, future: Future[Machine]) -> None:
        try:
            done = _completed(job, future)
            if done is None:
                return
            with lock:
                if executor is not None and done.error is not None:
                    on_error(done.error)
                    listener.begin(done.image)
                    listener.fail(failures.describe(done.error), failures.hint_of(done.error))
                    listener.finish()
                on_done(done)
        except BaseException as error:  # noqa: BLE001 (a future only logs it)
            raised.append(error)

    local = LocalExecutor(listener, jobs=workers, on_error=on_error)
    futures: list[Future[Machine]] = []
    try:
        with local if executor is None else nullcontext(executor) as given:
            for job in jobs:
                futures.append(given.submit(job))
                futures[-1].add_done_callback(partial(conclude, job))
        wait(futures)
    except BaseException:
        for future in futures:
            future.cancel()
        wait(futures)  # what has begun still writes
        raise
    if raised:
        raise raised[0]


def _completed(job: Job, future: Future[Machine]) -> CompletedRun[Machine] | None:
    try:
        error = future.exception()
    except CancelledError:
        return None
    if error is not None:
        return CompletedRun(str(job), error=error)
    return CompletedRun(str(job), result=future.result())
