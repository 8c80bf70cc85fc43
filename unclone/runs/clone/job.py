"""The making of machines one by one, in processes of this host."""

from __future__ import annotations

import os
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

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
    listener: BatchListener,
    *,
    workers: int,
    on_error: Callable[[BaseException], None],
    on_done: Callable[[CompletedRun[Machine]], None],
) -> None:
    """Do *jobs* in up to *workers* processes of this host.

    *on_done* is called with the end of each as it comes; those that an interruption left out have
    none.
    """
    raised: list[BaseException] = []

    def conclude(job: Job, future: Future[Machine]) -> None:
        try:
            done = _completed(job, future)
            if done is not None:
                on_done(done)
        except BaseException as error:  # noqa: BLE001 (a future only logs it)
            raised.append(error)

    with LocalExecutor(listener, jobs=workers, on_error=on_error) as executor:
        for job in jobs:
            executor.submit(job).add_done_callback(partial(conclude, job))
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
