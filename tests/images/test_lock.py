"""Our locks and QEMU's exclude each other, in both directions."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import make, overlay_on, tool
from unclone.images import process
from unclone.images.errors import ExitStatus, InUseError, RefusedError
from unclone.images.lock import _SHARED, ImageLock, _apply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What QEMU itself says when somebody else holds a lock.
REFUSAL = "Failed to get"


@contextmanager
def held_by(*argv: str | Path, ready: str) -> Iterator[subprocess.Popen[str]]:
    """A program that has the image open once it has printed *ready*."""
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        try:
            said = ""
            while ready not in said:
                line = running.stdout.readline()
                assert line, said
                said += line
            yield running
        finally:
            running.kill()


def virtual_machine(image: Path, options: str = "") -> tuple[str, ...]:
    # Paused before its first instruction; QMP's greeting says that the disks are open.
    return (
        "qemu-system-x86_64", "-S", "-accel", "tcg", "-display", "none", "-nodefaults",
        "-m", "64", "-qmp", "stdio", "-drive", f"if=virtio,format=qcow2,file={image}{options}",
    )  # fmt: skip


def storage_daemon(image: Path) -> tuple[str, ...]:
    export = f"vhost-user-blk,id=e,node-name=disk,addr.type=unix,addr.path={image}.sock"
    return (
        "qemu-storage-daemon",
        "--blockdev", f"driver=file,node-name=file,filename={image}",
        "--blockdev", "driver=qcow2,node-name=disk,file=file",
        "--export", f"type={export},writable=on",
        "--chardev", "stdio,id=c", "--monitor", "chardev=c",
    )  # fmt: skip


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def attempt(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


USERS = {
    "a running VM": virtual_machine,
    "a VM that only reads it": lambda image: virtual_machine(image, ",readonly=on"),
    "a storage daemon": storage_daemon,
}


@pytest.mark.parametrize("who", USERS)
def test_an_image_in_use_is_refused(tmp_path: Path, who: str) -> None:
    image = make(tmp_path / "disk.qcow2")
    with held_by(*USERS[who](image), ready="QMP") as user, ImageLock() as lock:
        with pytest.raises(InUseError, match=r"disk\.qcow2 is in use") as caught:
            lock.exclusive([image])
        assert caught.value.status is ExitStatus.IN_USE
        assert str(user.pid) in caught.value.message
        assert "qemu-s" in caught.value.message
        assert "Shut the VM down" in caught.value.hint
    with ImageLock() as lock:
        lock.exclusive([image])


@pytest.mark.slow
def test_an_image_that_is_a_running_machines_backing_file_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "base.qcow2")
    top = overlay_on(tmp_path / "top.qcow2", "base.qcow2")
    with (
        held_by(*virtual_machine(top), ready="QMP"),
        ImageLock() as lock,
        pytest.raises(InUseError, match=r"base\.qcow2 is in use"),
    ):
        lock.exclusive([image])


def test_reading_agrees_with_readers_and_not_with_writers(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with held_by(*virtual_machine(image, ",readonly=on"), ready="QMP"), ImageLock() as lock:
        lock.shared([image])
    with (
        held_by(*virtual_machine(image), ready="QMP"),
        ImageLock() as lock,
        pytest.raises(InUseError),
    ):
        lock.shared([image])


def test_qemu_is_kept_out_of_an_exclusively_locked_image(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    writing = ("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 512", image)
    reading = ("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, tmp_path / "copy")
    with ImageLock() as lock:
        lock.exclusive([image])
        for argv in (writing, reading):
            done = attempt(*argv)
            assert done.returncode != 0
            assert REFUSAL in done.stderr
    assert attempt(*writing).returncode == 0


def test_qemu_may_read_and_not_write_an_image_locked_for_reading(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as lock:
        lock.shared([image])
        tool("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, tmp_path / "copy")
        done = attempt("qemu-io", "-f", "qcow2", "-c", "write 0 512", image)
        assert done.returncode != 0
        assert REFUSAL in done.stderr


SHARED, EXCLUSIVE = ImageLock.shared, ImageLock.exclusive


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        (SHARED, SHARED, True),
        (SHARED, EXCLUSIVE, False),
        (EXCLUSIVE, SHARED, False),
        (EXCLUSIVE, EXCLUSIVE, False),
    ],
)
def test_two_of_us(
    tmp_path: Path,
    first: Callable[[ImageLock, list[Path]], None],
    second: Callable[[ImageLock, list[Path]], None],
    agree: bool,
) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as one, ImageLock() as other:
        first(one, [image])
        if agree:
            second(other, [image])
        else:
            with pytest.raises(InUseError):
                second(other, [image])
            one.release()
            other.release()
            second(other, [image])


def test_a_shared_lock_becomes_exclusive_when_no_other_holds_it(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as lock, ImageLock() as other:
        lock.shared([image])
        other.shared([image])
        with pytest.raises(InUseError):
            lock.exclusive([image])
        other.release()
        lock.release()
        lock.shared([image])
        lock.exclusive([image])
        assert len(lock.descriptors) == 1
        with pytest.raises(InUseError):
            other.shared([image])


def test_an_exclusive_lock_stays_exclusive(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as lock, ImageLock() as other:
        lock.exclusive([image])
        lock.shared([image])
        with pytest.raises(InUseError):
            other.shared([image])


def test_the_lock_follows_the_file_and_not_its_name(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as lock:
        lock.exclusive([image])
        assert lock.covers(image)
        image.rename(tmp_path / "elsewhere.qcow2")
        assert not lock.covers(image)
        make(image)
        assert not lock.covers(image)


def test_a_child_keeps_the_lock_when_its_parent_is_killed(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    program = (
        "import subprocess, sys; from pathlib import Path; from images.lock import ImageLock\n"
        "lock = ImageLock(); lock.exclusive([Path(sys.argv[1])])\n"
        "child = subprocess.Popen(['cat'], pass_fds=lock.descriptors)\n"
        "print('locked', flush=True); child.wait()"
    )
    with held_by(sys.executable, "-c", program, image, ready="locked") as parent:
        (child,) = children(parent.pid)
        ended = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        with ImageLock() as lock, pytest.raises(InUseError, match=f"process {child}"):
            lock.exclusive([image])
        assert parent.stdin is not None
        parent.stdin.close()  # the end of cat's input, and of cat
        select.select([ended], [], [])
        os.close(ended)
    with ImageLock() as lock:
        lock.exclusive([image])


def test_a_tool_started_with_the_lock_inherits_it(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as lock:
        lock.exclusive([image])
        listing = process.run(["ls", "-l", "/proc/self/fd"], keep_open=lock.descriptors)
        assert str(image).encode() in listing.stdout
        without = process.run(["ls", "-l", "/proc/self/fd"])
        assert str(image).encode() not in without.stdout


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    program = (
        "import os, sys; from pathlib import Path; from images.lock import ImageLock\n"
        "lock = ImageLock(); lock.exclusive([Path(sys.argv[1])]); os.kill(os.getpid(), 9)"
    )
    done = attempt(sys.executable, "-c", program, image)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with ImageLock() as lock:
        lock.exclusive([image])


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with ImageLock() as lock, pytest.raises(RefusedError, match="cannot be opened"):
        lock.exclusive([tmp_path / "missing.qcow2"])


def test_an_immutable_file_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    if attempt("chattr", "+i", image).returncode:
        pytest.skip("this user or file system cannot make a file immutable")
    try:
        with ImageLock() as lock, pytest.raises(RefusedError, match="for writing") as caught:
            lock.exclusive([image])
        assert "--output" in caught.value.hint
    finally:
        tool("chattr", "-i", image)


def test_a_file_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    # No file system here lacks these locks; a descriptor without access makes fcntl fail as well.
    image = make(tmp_path / "disk.qcow2")
    descriptor = os.open(image, os.O_PATH)
    try:
        with pytest.raises(RefusedError, match=r"disk\.qcow2 cannot be locked") as caught:
            _apply(descriptor, image, _SHARED)
        assert "local file system" in caught.value.hint
    finally:
        os.close(descriptor)
