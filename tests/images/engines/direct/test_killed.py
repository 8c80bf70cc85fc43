"""A helper program that something else kills, as the kernel does when memory runs out."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import make_ext
from tests.support.kills import runs
from unclone.images.chain import read_chain
from unclone.images.engines.direct.engine import DirectEngine
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.errors import EngineError, KilledError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.volumes import Volumes


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything temporary goes there, and must be gone at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def kill(program: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill, or stop, the child of this process that runs *program*."""
    found: list[str] = []
    while not found:  # a child that was just forked has its parent's command line
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        found = [pid for pid in children if runs(pid, program)]
    for pid in found:
        os.kill(int(pid), number)
        os.waitid(os.P_PID, int(pid), os.WEXITED | os.WSTOPPED | os.WNOWAIT)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("qemu-nbd", "qemu-nbd"),
        ("ext.worker", "the ext file system worker"),
        ("ext.checker", "e2fsck"),
    ],
)
def test_it_is_told_as_that(
    tmp_path: Path, program: str, named: str, number: signal.Signals
) -> None:
    image, overlay = tmp_path / "image.vdi", tmp_path / "overlay"
    run(["qemu-img", "convert", "-O", "vdi", make_ext(tmp_path / "raw"), image])
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "vdi", overlay])

    def work() -> None:
        engine, drives = DirectEngine(), [Drive(overlay, "qcow2", read_chain(image))]
        with engine.open(drives, keys=no_keys, read_only=False, say=print) as volumes:
            volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
            volumes.create("/file", b"before", mode=0o644, uid=0, gid=0)
            kill(program, number)
            volumes.write("/file", b"after", keep=0)
            volumes.scan("/lost+found")
            volumes.unmount_all()
            volumes.begin_check("/dev/sda")()

    with pytest.raises(KilledError, match=f"{named} was killed by something else") as caught:
        work()
    assert "memory" in caught.value.hint


@pytest.mark.parametrize("read_only", [False, True])
def test_it_is_told_when_it_is_noticed_at_the_end(tmp_path: Path, *, read_only: bool) -> None:
    def work() -> Volumes:
        engine, drives = DirectEngine(), [Drive(make_ext(tmp_path / "image"), "raw")]
        with engine.open(drives, keys=no_keys, read_only=read_only, say=print) as volumes:
            volumes.mount("/dev/sda", "/", subvolume="", read_only=read_only)
            kill("ext.worker")
        return volumes

    with pytest.raises(KilledError, match="the ext file system worker was killed"):
        work()


def test_one_that_did_not_answer_in_time_was_killed_by_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        engine, drives = DirectEngine(), [Drive(make_ext(tmp_path / "image"), "raw")]
        with engine.open(drives, keys=no_keys, read_only=False, say=print) as volumes:
            volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
            kill("ext.worker", signal.SIGSTOP)
            monkeypatch.setattr("unclone.images.engines.direct.ext_client.LIMIT", 0)
            volumes.scan("/")

    with pytest.raises(EngineError, match="no answer within 0 s"):
        work()
