"""The standard executor interface over forked processes."""

from __future__ import annotations

import io
import os
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from typing import Any

import pytest

from unclone.cli.progress import LineProgress
from unclone.images.errors import RefusedError
from unclone.runs.executor import LocalExecutor
from unclone.runs.listener import NullListener, current_listener


@dataclass(frozen=True)
class Said:
    words: str
    process: int

    def to_json(self) -> dict[str, Any]:
        return {"words": self.words}


@dataclass(frozen=True)
class Saying:
    """What is submitted: it can be pickled, and has a name."""

    words: str

    def __call__(self) -> Said:
        current_listener().say(f"saying {self.words}")
        if self.words == "no":
            raise RefusedError("it says no", hint="Ask again.")
        return Said(self.words, os.getpid())

    def __str__(self) -> str:
        return f"task {self.words}"


@pytest.mark.parametrize("jobs", [1, 2])
def test_futures_have_results_errors_and_callbacks(jobs: int) -> None:
    stream = io.StringIO()
    ended: list[Future[Said]] = []
    with LocalExecutor(LineProgress(stream), jobs=jobs) as executor:
        futures = [executor.submit(Saying(words)) for words in ("a", "no", "b")]
        for future in futures:
            future.add_done_callback(ended.append)
        assert not any(future.done() for future in futures)
    first, second, third = futures
    assert (first.result().words, third.result().words) == ("a", "b")
    assert isinstance(second.exception(), RefusedError)
    assert set(map(id, ended)) == set(map(id, futures))
    assert (first.result().process == os.getpid()) == (jobs == 1)
    said = stream.getvalue()
    assert "task a: saying a" in said
    assert "task no: it says no\n  Ask again." in said


def test_what_was_not_begun_is_cancelled() -> None:
    executor = LocalExecutor(LineProgress(io.StringIO()), jobs=1)
    futures = [executor.submit(Saying("a")), executor.submit(Saying("b"))]
    futures[0].cancel()
    executor.shutdown()
    assert futures[0].cancelled()
    assert futures[1].result().words == "b"
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(Saying("c"))


def test_an_error_in_its_block_cancels_all() -> None:
    futures: list[Future[Said]] = []

    def failing() -> None:
        with LocalExecutor(LineProgress(io.StringIO()), jobs=2) as executor:
            futures.append(executor.submit(Saying("a")))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        failing()
    with pytest.raises(CancelledError):
        futures[0].result()


class _Interrupted(NullListener):
    def begin(self, label: str) -> None:
        raise KeyboardInterrupt


def test_nobody_waits_for_what_an_interruption_left_out() -> None:
    executor = LocalExecutor(_Interrupted(), jobs=1)
    futures = [executor.submit(int), executor.submit(int)]
    with pytest.raises(KeyboardInterrupt):
        executor.shutdown()
    assert not wait(futures, timeout=10).not_done
