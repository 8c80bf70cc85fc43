"""The appliance that the tests share is started again when it is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from tests.support.bench import Bench, SharedBench

pytestmark = pytest.mark.appliance


def qemu_of(bench: Bench) -> int:
    """The process id of the QEMU that this process started with the appliance of *bench*."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended in the meantime
            if b"qemu-system" in command[0] and bench.token.encode() in command:
                return int(entry.name)
    raise AssertionError("the appliance has no QEMU")


def test_a_lost_appliance_is_started_again(
    shared_bench: SharedBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shared_bench.ready()
    assert shared_bench.ready() is first
    first.mounted("small").create("/note", b"lost", mode=0o644, uid=0, gid=0)
    assert first.prepared("once", lambda: 1) == first.prepared("once", lambda: 2) == 1

    os.kill(qemu_of(first), signal.SIGKILL)
    with monkeypatch.context() as broken:  # a start that fails is no reason to give up
        broken.setenv("LIBGUESTFS_PATH", "/nonexistent")
        with pytest.raises(EngineError):
            shared_bench.ready()
    second = shared_bench.ready()

    assert second is not first
    assert "note" not in second.mounted("small").scan("/")
    assert second.prepared("once", lambda: 2) == 2
    assert second.shell("echo alive") == "alive\n"


def test_a_test_that_ran_into_its_time_limit_takes_nobody_with_it(
    shared_bench: SharedBench,
) -> None:
    """What pytest-timeout does: the main thread is interrupted while a call is running."""

    class TooLongError(BaseException):
        pass

    def expire(*_: object) -> None:
        raise TooLongError

    bench = shared_bench.ready()
    before = signal.signal(signal.SIGALRM, expire)
    left, _ = signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        with pytest.raises(TooLongError):
            bench.shell("sleep 1000")
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)
    assert not bench.answers()
    assert shared_bench.ready().shell("echo alive") == "alive\n"
