"""An image that something without QEMU's locks has open is not changed."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import make
from unclone.images import openers
from unclone.images.errors import InUseError
from unclone.images.lock import ImageLock

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(1024 * 1024))
    return path


@pytest.fixture
def loop(image: Path) -> Iterator[str]:
    yield from attached(image)


@pytest.fixture
def read_only_loop(image: Path) -> Iterator[str]:
    yield from attached(image, "--read-only")


def attached(image: Path, *options: str) -> Iterator[str]:
    argv = ["losetup", "--find", "--show", *options, str(image)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_an_image_on_a_writable_loop_device_is_in_use(image: Path, loop: str) -> None:
    for take in (ImageLock.exclusive, ImageLock.shared):
        with ImageLock() as lock, pytest.raises(InUseError, match=rf"\({loop}\)"):
            take(lock, [image])


def test_an_image_on_a_read_only_loop_device_may_be_read(image: Path, read_only_loop: str) -> None:
    with ImageLock() as lock:
        lock.shared([image])
        with pytest.raises(InUseError, match=rf"\({read_only_loop}\)"):
            lock.exclusive([image])


def test_a_loop_device_is_found_when_the_name_it_was_given_is_gone(image: Path) -> None:
    other = image.with_name("other.raw")
    other.hardlink_to(image)
    with contextmanager(attached)(other, "--read-only") as device:
        other.unlink()
        with ImageLock() as lock, pytest.raises(InUseError, match=rf"\({device}\)"):
            lock.exclusive([image])


def test_a_loop_device_is_found_by_another_name_of_the_file(image: Path, loop: str) -> None:
    other = image.with_name("hard link.raw")
    other.hardlink_to(image)
    assert openers.find(other, writers_only=False) == (loop,)


@contextmanager
def opened(image: Path, mode: str) -> Iterator[int]:
    """A process that has the image open; its number."""
    program = f"import sys; f = open(sys.argv[1], {mode!r}); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, image], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        process.communicate(b"\n")


@pytest.mark.parametrize("mode", ["r+b", "ab"])
def test_a_process_that_may_write_is_named(image: Path, mode: str) -> None:
    with (
        opened(image, mode) as process,
        ImageLock() as lock,
        pytest.raises(InUseError, match=f"process {process}"),
    ):
        lock.exclusive([image])
    with ImageLock() as lock:
        lock.exclusive([image])


def test_a_process_that_only_reads_is_no_reason_to_stop(image: Path) -> None:
    with image.open("rb"), ImageLock() as lock:
        lock.exclusive([image])


def test_a_server_that_only_reads_and_takes_no_locks_is_found(image: Path, tmp_path: Path) -> None:
    options = f"driver=raw,file.driver=file,file.filename={image},file.locking=off"
    socket = tmp_path / "socket"
    argv = ["qemu-nbd", "--persistent", "--read-only", "--socket", str(socket)]
    argv += ["--image-opts", options]
    with subprocess.Popen(argv) as server:
        try:
            files = Path(f"/proc/{server.pid}/fd")
            while image not in {file.resolve() for file in files.iterdir()}:  # after its socket
                assert server.poll() is None
                time.sleep(0.01)
            with ImageLock() as lock, pytest.raises(InUseError, match=r"\(qemu-nbd, process"):
                lock.exclusive([image])
            with ImageLock() as lock:
                lock.shared([image])
        finally:
            server.kill()  # it ignores a SIGTERM that comes before it is ready
    with ImageLock() as lock:
        lock.exclusive([image])


def test_a_virtual_machine_without_locks_is_found(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    node = f"driver=qcow2,file.driver=file,file.locking=off,file.filename={image}"
    argv = [
        *("qemu-system-x86_64", "-S", "-accel", "tcg", "-display", "none", "-nodefaults"),
        *("-m", "64", "-qmp", "stdio", "-drive", f"if=virtio,{node}"),
    ]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        assert machine.stdout is not None
        assert b"QMP" in machine.stdout.readline()
        try:
            with ImageLock() as lock, pytest.raises(InUseError, match="qemu-system"):
                lock.exclusive([image])
        finally:
            machine.kill()


def test_an_open_during_the_question_ends_nothing(image: Path) -> None:
    # A reader and a writer that come and go while the question is asked again and again.
    program = "import sys\nfor _ in range(2000): open(sys.argv[1], 'r+b').close()"
    with subprocess.Popen([sys.executable, "-c", program, image]) as other:
        while other.poll() is None:
            openers.find(image, writers_only=True)
    assert other.returncode == 0
    assert openers.find(image, writers_only=True) == ()


def test_without_leases_the_processes_are_looked_at(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file system without leases answers EINVAL; so does F_SETLEASE with a wrong argument.
    monkeypatch.setattr("fcntl.F_RDLCK", 99)
    with opened(image, "rb"):
        assert openers.find(image, writers_only=True) == ()
    with opened(image, "r+b") as process:
        (found,) = openers.find(image, writers_only=True)
        assert found.endswith(f"process {process}")
