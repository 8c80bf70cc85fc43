"""The appliance that the tests share is started again when it is lost."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class TooLongError(BaseException):
    """What interrupts a test that ran into its time limit."""


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
    assert second.shell("echo alive") == "alive"

    # What pytest-timeout does: it interrupts the main thread in the middle of a call.
    with interrupted_after(1.0), pytest.raises(TooLongError):
        second.shell("sleep 1000")
    assert not second.answers()


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    def expire(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, expire)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # pytest-timeout's own
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)
