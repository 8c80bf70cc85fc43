"""Several programs at the same time: all have ended before anybody goes on."""

from __future__ import annotations

import time
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import ToolError
from unclone.images.process import run, run_concurrently

if TYPE_CHECKING:
    from pathlib import Path


def test_they_do_not_wait_for_each_other() -> None:
    together = Barrier(8, timeout=60)
    run_concurrently(*[lambda: (together.wait(), None)[1]] * 8)
    assert not together.broken


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_error_of_one_is_raised_when_all_have_ended(tmp_path: Path, wrong: int) -> None:
    def work(number: int) -> None:
        if number == wrong:
            run(["false"])
        time.sleep(0.3)
        (tmp_path / str(number)).touch()

    with pytest.raises(ToolError, match="false failed"):
        run_concurrently(*(partial(work, each) for each in range(3)))
    assert len(list(tmp_path.iterdir())) == 2
