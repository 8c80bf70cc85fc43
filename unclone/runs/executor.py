"""The standard executor interface over this host's processes (``worker_pool``).

Whoever has another executor (a cluster's, a thread pool's) gives that instead: what is submitted
is a callable without arguments that can be pickled.

Reference: https://docs.python.org/3/library/concurrent.futures.html#executor-objects
"""

from __future__ import annotations

from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING, Any

from unclone.runs import failures
from unclone.runs.completed import complete
from unclone.runs.listener import listening
from unclone.runs.worker_pool import Task, run_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from unclone.runs.completed import CompletedRun
    from unclone.runs.listener import BatchListener, Listener


class LocalExecutor(Executor):
    """Up to *jobs* forked processes at a time; one alone works in this process.

    Everything is done in :meth:`shutdown`, at the end of its ``with`` block: this process may start
    no thread, and its main thread is the one that Ctrl-C reaches. Until then no future is done.
    ``str()`` of what is submitted is what progress and messages call it. *on_error* is called with
    what was raised, in the process that raised it.
    """

    def __init__(
        self,
        listener: BatchListener,
        *,
        jobs: int,
        on_error: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._listener = listener
        self._jobs = jobs
        self._on_error = on_error
        self._pending: list[tuple[Future[Any], Task[Any]]] = []
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 (the standard's signature)
        """As :meth:`concurrent.futures.Executor.submit`."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()
        work = partial(_listening, partial(fn, *args, **kwargs))
        self._pending.append((future, Task(str(fn), work)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (the standard's signature)
        """Do what was submitted, whether or not the caller would *wait*."""
        self._closed = True
        pending, self._pending = self._pending, []
        try:
            if not cancel_futures:
                self._execute([each for each in pending if not each[0].cancelled()])
        finally:
            for future, _ in pending:
                if future.cancel():  # after Ctrl-C: those that were not begun
                    future.set_running_or_notify_cancel()  # else wait() waits for them

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        self.shutdown(cancel_futures=error is not None)
        return None

    def _execute(self, wanted: Sequence[tuple[Future[Any], Task[Any]]]) -> None:
        workers = min(self._jobs, len(wanted))
        if workers > 1:

            def tell(number: int, done: CompletedRun[Any]) -> None:
                _settle(wanted[number][0], done)

            tasks = [task for _, task in wanted]
            run_all(tasks, self._listener, jobs=workers, on_error=self._on_error, on_done=tell)
            return
        for future, task in wanted:
            self._listener.begin(task.image)
            done = complete(task.image, self._listener, task.work)
            if done.error is not None:
                self._on_error(done.error)
                self._listener.fail(failures.describe(done.error), failures.hint_of(done.error))
            self._listener.finish()
            _settle(future, done)
            if done.interrupted:
                break


def _listening(work: Callable[[], Any], listener: Listener) -> Any:  # noqa: ANN401 (what *work* returns)
    with listening(listener):
        return work()


def _settle(future: Future[Any], done: CompletedRun[Any]) -> None:
    if done.error is not None:
        future.set_exception(done.error)
    else:
        future.set_result(done.result)
