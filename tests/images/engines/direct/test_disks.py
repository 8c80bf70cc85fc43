"""The disks: bounds, what becomes of changes, and nothing left behind on any way out."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import complaints, file_disk, make_ext, mounted_direct, open_direct
from tests.support.disk_images import sound
from unclone.images.chain import read_chain
from unclone.images.engines.direct import disks
from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.engines.direct.disks import Disks
from unclone.images.engines.direct.engine import DirectEngine
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.errors import EngineError, UncloneError
from unclone.images.process import run
from unclone.images.temporary_folders import clean_up, new_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything temporary goes there, and must be gone at the end."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def raw_of(image: Path) -> bytes:
    raw = image.with_suffix(".as-raw")
    run(["qemu-img", "convert", "-O", "raw", image, raw])
    return raw.read_bytes()


def test_an_image_without_an_overlay_is_changed_itself(tmp_path: Path) -> None:
    image = tmp_path / "image"
    run(["qemu-img", "create", "-q", "-f", "qcow2", image, "10M"])
    run(["qemu-io", "-c", "write -P 7 0 128k", image])
    opened = Disks([Drive(image, "qcow2")], scratch=False)
    (device,) = opened.devices()
    assert device.size == 10 << 20
    BlockFile(device.disk).write(4096, b"written")
    opened.end()
    assert raw_of(image)[4090:4107] == b"\7" * 6 + b"written" + b"\7" * 4
    assert sound(image)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk", "vdi", "vhdx"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "again"])
def test_an_overlay_has_what_was_written(tmp_path: Path, form: str, *, again: bool) -> None:
    raw, base, overlay = tmp_path / "raw", tmp_path / f"base.{form}", tmp_path / "overlay"
    chance = random.Random(1)
    wanted = bytearray(chance.randbytes(3 << 20) + bytes(5 << 20) + chance.randbytes(1 << 20))
    raw.write_bytes(wanted)
    run(["qemu-img", "convert", "-O", form, raw, base])
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", form, overlay])
    number = overlay.stat().st_ino
    opened = Disks([Drive(overlay, "qcow2", read_chain(base))], scratch=False)
    for _ in range(2):
        for _ in range(20):
            (device,) = opened.devices()
            at = chance.randrange(len(wanted) - 100_000)
            content = chance.randbytes(chance.choice((1, 512, 4096, 70_000)))
            wanted[at : at + len(content)] = content
            device.disk.mark(at, len(content))
            device.disk.write(at, content)
        if not again:
            break
        opened.settle()
        (device,) = opened.devices()
        assert device.disk.dirty == []
        assert device.disk.read(0, len(wanted)) == wanted
    opened.end()
    assert overlay.stat().st_ino == number
    assert sound(overlay)
    assert raw_of(overlay)[: len(wanted)] == wanted
    assert raw_of(base)[:100] == raw.read_bytes()[:100]


def test_what_is_only_read_stays_as_it_is(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    before = image.read_bytes()
    opened = Disks([Drive(image, "raw")], scratch=True)
    BlockFile(opened.devices()[0].disk).write(0, b"written")
    assert opened.devices()[0].disk.read(0, 7) == b"written"
    opened.end()
    assert image.read_bytes() == before


@pytest.mark.slow
def test_what_a_tool_changes_is_written_back(tmp_path: Path) -> None:
    base, overlay = make_ext(tmp_path / "image"), tmp_path / "overlay"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay])
    opened = Disks([Drive(overlay, "qcow2", read_chain(base))], scratch=False)
    (device,) = opened.devices()
    with opened.as_file(device) as file:
        assert file.read_bytes() == base.read_bytes()
        run(["tune2fs", "-L", "other", file])
    assert opened.devices()[0].content.label == "other"
    assert len(device.disk.dirty) < 20
    opened.end()
    assert b"other" in raw_of(overlay)[1024:2048]


def test_a_copy_that_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_ext(tmp_path / "image")
    run(["debugfs", "-w", "-R", "feature +needs_recovery", image])
    monkeypatch.setattr(Disks, "free_space", lambda _: 1000)
    volumes = open_direct(image)
    try:
        assert "/dev/sda has to be checked, for which a copy of" in volumes.beyond_reach()
    finally:
        volumes.drop()


def test_a_signal_while_the_folder_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> tuple[Path, int]:
        os.kill(os.getpid(), signal.SIGINT)
        return new_folder()

    monkeypatch.setattr(disks, "new_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Disks([Drive(make_ext(tmp_path / "image"), "raw")], scratch=False)


def test_nothing_is_written_beyond_the_bounds(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096))
    part = BlockFile(file_disk(path), 1024, 1024)
    assert len(part.read(1000, 1000)) == 24
    for offset in (1020, 1024, -1, 1 << 60):
        with pytest.raises(EngineError):
            part.write(offset, b"12345")
    part.write(1019, b"12345")
    part.close()
    assert path.read_bytes()[2043:2049] == b"12345\0"


def test_two_disks_keep_their_order(tmp_path: Path) -> None:
    images = [make_ext(tmp_path / name) for name in ("one", "two")]
    run(["tune2fs", "-L", "second", images[1]])
    volumes = open_direct(*images)
    found = [(fs.device, fs.label) for fs in volumes.file_systems()]
    volumes.close()
    assert found == [("/dev/sda", ""), ("/dev/sdb", "second")]


@pytest.mark.parametrize("wrong", ["missing", "not-qcow2"])
def test_a_drive_that_cannot_be_opened_is_an_error(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / wrong
    if wrong == "not-qcow2":
        path.write_bytes(bytes(4096))
    with pytest.raises(UncloneError, match=wrong):
        Disks([Drive(path, "qcow2")], scratch=False)


def interrupted(image: Path) -> None:
    engine, drives = DirectEngine(), [Drive(image, "raw")]
    with engine.open(drives, keys=no_keys, read_only=False, say=print) as volumes:
        volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
        volumes.create("/file", b"x", mode=0o644, uid=0, gid=0)
        raise KeyboardInterrupt


def test_an_exception_lets_go_at_once(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    with pytest.raises(KeyboardInterrupt):
        interrupted(image)
    run(["qemu-img", "info", "-f", "raw", image])  # nobody holds a lock on it any more


KILLED = """
import sys, time
from pathlib import Path
from tests.support.direct import file_disk, mounted_direct
volumes = mounted_direct(Path(sys.argv[1]))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_the_next_run_cleans_up_after_one_that_was_killed(tmp_path: Path, own_folder: Path) -> None:
    image = make_ext(tmp_path / "image")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, image], stdout=subprocess.PIPE, env=environment
    ) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"ready\n"
        clean_up()  # a run that goes on is left alone
        assert len(list(own_folder.iterdir())) == 1
        killed.send_signal(signal.SIGKILL)
    assert len(list(own_folder.iterdir())) == 1
    volumes = mounted_direct(image)
    volumes.create("/file", b"x", mode=0o644, uid=0, gid=0)
    volumes.close()
    assert not complaints(image)


def test_a_run_that_just_begins_is_no_left_over(
    tmp_path: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = fcntl.flock

    def flock(file: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            monkeypatch.undo()
            monkeypatch.setattr(tempfile, "tempdir", str(own_folder))
            clean_up()  # as another run does at this moment
        locked(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    opened = Disks([Drive(make_ext(tmp_path / "image"), "raw")], scratch=False)
    assert opened.devices()[0].size == 48 << 20
    opened.end()


def test_one_that_never_began_is_taken_away_when_it_is_old(own_folder: Path) -> None:
    for name, age in (("unclone-direct-old", 7200), ("unclone-direct-new", 0)):
        folder = own_folder / name
        folder.mkdir()
        (folder / "lock.new").touch()
        os.utime(folder, (time.time() - age,) * 2)
    for name, age in (("unclone-direct-empty", 7200), ("unclone-direct-begun", 0)):
        (own_folder / name).mkdir()
        os.utime(own_folder / name, (time.time() - age,) * 2)
    clean_up()
    left = sorted(folder.name for folder in own_folder.iterdir())
    assert left == ["unclone-direct-begun", "unclone-direct-new"]
    (own_folder / "unclone-direct-begun").rmdir()
    (own_folder / "unclone-direct-new" / "lock.new").unlink()
    (own_folder / "unclone-direct-new").rmdir()


def test_other_peoples_folders_are_left_alone(own_folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "lock").write_bytes(b"")
    link = own_folder / "unclone-direct-link"
    link.symlink_to(precious)
    clean_up()
    assert (precious / "lock").exists()
    link.unlink()
