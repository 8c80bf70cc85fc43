"""One time for everything that is written into file systems."""

from __future__ import annotations

import os
import time

from unclone.images import clock


def test_now() -> None:
    before = time.time_ns()
    assert before <= clock.now_ns() <= time.time_ns()


def test_a_fixed_time_is_that_of_e2fsprogs_too() -> None:
    environment = dict(os.environ)
    with clock.fixed(1_700_000_000):
        assert clock.now_ns() == 1_700_000_000 * 10**9
        assert os.environ["E2FSPROGS_FAKE_TIME"] == os.environ["E2FSCK_TIME"] == "1700000000"
        with clock.fixed(5):
            assert clock.now_ns() == 5 * 10**9
        assert clock.now_ns() == 1_700_000_000 * 10**9
    assert dict(os.environ) == environment
