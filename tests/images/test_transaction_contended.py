"""A transaction among other users of the image, signals, and full disks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    MIB,
    NEW,
    OLD,
    digests,
    fill,
    holds,
    make,
    sound,
    tool,
)
from tests.support.transactions import BY_NAME, change, changed, on_a_chain, run
from unclone.images.errors import ExitStatus, InUseError, RefusedError, UncloneError
from unclone.images.journal import Marker, read
from unclone.images.lock import ImageLock
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace, ReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

VMDK = BY_NAME["vmdk-monolithicSparse"]


# -- in use --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_run_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with InPlace([Disk(image)]) as transaction:
        with pytest.raises(InUseError, match=r"disk\.qcow2 is in use") as caught:
            InPlace([Disk(image)]).__enter__()
        assert caught.value.status is ExitStatus.IN_USE
        with pytest.raises(InUseError):
            recover(image)
        change(transaction)
        transaction.commit()
    assert changed(image)


def test_qemu_is_kept_out_for_the_whole_time(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with InPlace([Disk(image)]):
        done = subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", "write 0 512", image],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Failed to get" in done.stderr
    assert changed(image) is False


def test_backing_files_cannot_be_changed_meanwhile(tmp_path: Path) -> None:
    image = on_a_chain(tmp_path)
    with InPlace([Disk(image)]):
        done = subprocess.run(
            ["qemu-io", "-f", "raw", "-c", "write 0 512", tmp_path / "base.raw"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Failed to get" in done.stderr


def test_an_engine_that_still_holds_the_overlay_stops_the_commit(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests([image])
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        with subprocess.Popen(
            ["qemu-io", "-f", "qcow2", transaction.overlays[0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as engine:
            assert engine.stdin is not None
            assert engine.stdout is not None
            engine.stdin.write(b"read 0 512\n")
            engine.stdin.flush()
            engine.stdout.readline()
            with pytest.raises(UncloneError, match="is still open"):
                transaction.commit()
    assert digests(tmp_path.iterdir()) == before


def test_an_image_replaced_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    other = make(tmp_path / "other.qcow2")
    before = digests([other])["other.qcow2"]

    def body(transaction: InPlace) -> None:
        change(transaction)
        other.rename(image)

    with pytest.raises(RefusedError, match=r"disk\.qcow2 was replaced"):
        run(image, body)
    assert digests(tmp_path.iterdir()) == {"disk.qcow2": before}


def truncate(transaction: InPlace) -> None:
    change(transaction)
    with transaction.overlays[0].open("r+b") as file:
        file.truncate(MIB)


def resize(transaction: InPlace) -> None:
    tool("qemu-img", "resize", "-q", "-f", "qcow2", transaction.overlays[0], "1G")


def replace(transaction: InPlace) -> None:
    transaction.overlays[0].write_bytes(b"x" * 1024)


def wipe_refcounts(transaction: InPlace) -> None:
    change(transaction)
    with transaction.overlays[0].open("r+b") as file:
        file.seek(2 * 65536)
        file.write(bytes(65536))


@pytest.mark.parametrize("body", [truncate, resize, replace, wipe_refcounts])
def test_a_damaged_overlay_is_not_committed(
    tmp_path: Path, body: Callable[[InPlace], None]
) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests([image])
    with pytest.raises(UncloneError, match="unclone-overlay"):
        run(image, body)
    assert digests(tmp_path.iterdir()) == before


# -- signals -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_commit_waits_for_its_end(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    image = make(folder / "disk.qcow2")
    # Sent to the whole group, as a terminal does, while qemu-img commit is running: that waits
    # until it was sent. No shell: dash would let the signals in that its parent holds back.
    sent = tmp_path / "sent"
    waiting = tmp_path / "qemu-img"
    waiting.write_text(
        f"""#!{sys.executable}
import os, sys, time
while sys.argv[1] == "commit" and not os.path.exists({str(sent)!r}):
    time.sleep(0.01)
os.execv({shutil.which("qemu-img")!r}, sys.argv)
"""
    )
    waiting.chmod(0o755)
    program = f"""
import os, sys, threading, time
from pathlib import Path
from unclone.images.transaction import Disk, InPlace
from unclone.images.overlay import journal_path
image = Path(sys.argv[1])
def interrupt():
    while not journal_path(image).exists():
        time.sleep(0.0005)
    os.killpg(0, {int(number)})
    Path({str(sent)!r}).touch()
os.setpgid(0, 0)
with InPlace([Disk(image)]) as transaction:
    from tests.support.disk_images import fill
    fill(transaction.overlays[0], {NEW}, {3 * MIB}, {40 * MIB})
    threading.Thread(target=interrupt, daemon=True).start()
    transaction.commit()
print("reached", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, image],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert done.stdout == "", done.stderr  # the signal did take effect
    assert done.returncode == -number, done.stderr
    assert holds(image, NEW, 3 * MIB, 40 * MIB)
    assert [path.name for path in folder.iterdir()] == ["disk.qcow2"]
    assert sound(image)


# -- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24M", "tmpfs", directory],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"only root can mount a small file system: {done.stderr.strip()}")
    yield directory
    tool("umount", directory)


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vdi", "vmdk-monolithicSparse"])
def test_a_disk_too_full_for_the_commit_is_noticed_before(small_disk: Path, kind: str) -> None:
    image = make(small_disk / "disk", BY_NAME[kind])
    before = digests(small_disk.iterdir())
    with pytest.raises(UncloneError, match=r"not enough space to change .*disk") as caught:
        run(image, lambda transaction: fill(transaction.overlays[0], NEW, 20 * MIB, 14 * MIB))
    assert "Free some space" in caught.value.hint
    assert caught.value.status is ExitStatus.FAILED
    assert digests(small_disk.iterdir()) == before


@pytest.mark.slow
def test_a_full_disk_at_the_start_is_noticed(small_disk: Path) -> None:
    image = make(small_disk / "disk")
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(bytes(free))
    before = digests(small_disk.iterdir())
    with pytest.raises(UncloneError, match="no space left in"), InPlace([Disk(image)]):
        pytest.fail("it was accepted")
    assert digests(small_disk.iterdir()) == before


@pytest.mark.slow
def test_what_is_allocated_already_needs_no_space(small_disk: Path) -> None:
    image = small_disk / "disk.raw"
    image.write_bytes(bytes([OLD]) * 10 * MIB)
    with InPlace([Disk(image)]) as transaction:
        fill(transaction.overlays[0], NEW, 0, 10 * MIB)
        transaction.commit()
    assert image.read_bytes() == bytes([NEW]) * 10 * MIB


@pytest.mark.slow
def test_a_commit_that_fails_half_way_can_be_finished(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make(small_disk / "disk.qcow2")
    ballast = small_disk / "ballast"
    # Somebody else fills the disk between the reservation and the write: played by making the
    # reservation believe that nothing is needed.
    monkeypatch.setattr("unclone.images.space.needed", lambda overlay, image: 0)

    def body(transaction: InPlace) -> None:
        fill(transaction.overlays[0], NEW, 20 * MIB, 9 * MIB)
        ballast.write_bytes(bytes(9 * MIB))

    with pytest.raises(UncloneError, match="could not be written completely") as caught:
        run(image, body)
    assert f"unclone recover {image}" in caught.value.hint
    assert isinstance(read(image), Marker)
    with pytest.raises(RefusedError, match="incomplete") as unfinished:
        ReadOnly([Disk(image)]).__enter__()
    assert "unclone recover" in unfinished.value.hint
    ballast.unlink()
    assert recover(image).action is Action.FINISHED
    assert holds(image, NEW, 20 * MIB, 9 * MIB)
    assert sound(image)
    assert [path.name for path in small_disk.iterdir()] == ["disk.qcow2"]


# -- looking only --------------------------------------------------------------------------------


def test_looking_changes_nothing_and_keeps_writers_out(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    image.chmod(0o444)
    before = digests(tmp_path.iterdir())
    with ReadOnly([Disk(image)]) as looking:
        assert looking.overlays == ()
        assert holds(looking.images[0].path, OLD, MIB, MIB)
        with ReadOnly([Disk(image)]):
            pass  # others may look as well
        image.chmod(0o644)
        with pytest.raises(InUseError), ImageLock() as lock:
            lock.exclusive([image])
        looking.commit()
    assert digests(tmp_path.iterdir()) == before
