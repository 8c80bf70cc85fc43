"""Interrupted at any moment, an image is untouched or, after ``recover``, complete.

With the installed command on a whole guest; the transaction has its own tests, format by format.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import PROGRAM, unclone
from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.readback import check_image

ID = "0123456789abcdef0123456789abcdef"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/var/lib/dbus/machine-id": f"{ID}\n",
    "/usr/lib/systemd/systemd": "ELF",
    **{f"/var/log/journal/{ID}/{number}.journal": b"x" * 20_000 for number in range(30)},
}
MOMENTS = 20


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest to copy."""
    folder = tmp_path_factory.mktemp("golden")
    return make_disk(folder / "disk.qcow2", [Part("ext4", tree=TREE)], form="qcow2")


@pytest.fixture(scope="module")
def complete(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The digest of the disk's content after an undisturbed run, and its seconds."""
    image = copied(golden, tmp_path_factory.mktemp("complete"))
    started = time.monotonic()
    done = unclone("sanitize", "--engine", "direct", image)
    assert done.returncode == 0, done.stderr
    return identity(image), time.monotonic() - started


def copied(golden: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(golden, folder / "disk.qcow2"))


def identity(image: Path) -> str:
    """Say "old", "new", or what else the machine-id files and the journal on *image* are."""
    raw = image.with_suffix(".raw")
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    try:
        target = f"{raw}?offset={1024 * 1024}"
        sound = subprocess.run(["e2fsck", "-fn", target], capture_output=True, check=False)
        script = "cat /etc/machine-id\nls -p /var/lib/dbus\nls -p /var/log/journal\n"
        said = subprocess.run(
            ["debugfs", "-f", "-", target], input=script.encode(), capture_output=True, check=True
        ).stdout.decode()
    finally:
        raw.unlink()
    assert sound.returncode == 0, sound.stdout
    present = (f"\n{ID}\n" in said, "/machine-id/" in said, f"/{ID}/" in said)
    if present == (True, True, True):
        return "old"
    return said if any(present) else "new"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def started(image: Path, engine: str = "direct") -> subprocess.Popen[str]:
    argv = [os.fspath(each) for each in (PROGRAM, "sanitize", "--engine", engine, image)]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed(golden: Path, complete: tuple[str, float], tmp_path: Path, moment: int) -> None:
    assert complete[0] == "new"
    image = copied(golden, tmp_path / "images")
    # One moment from each twentieth of a run, and a little beyond its end.
    fraction = (moment + random.Random(moment).random()) / MOMENTS
    run = started(image)
    time.sleep(complete[1] * 1.1 * fraction)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    recovered = unclone("recover", image)
    for _ in range(50):
        if recovered.returncode != 3:  # a child that has not noticed yet still holds the lock
            break
        time.sleep(0.1)
        recovered = unclone("recover", image)
    assert recovered.returncode == 0, recovered.stderr
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]
    assert check_image(image).get("corruptions", 0) == 0
    if digest(image) != digest(golden):
        assert identity(image) == "new"
    again = unclone("sanitize", "--engine", "direct", image)
    assert again.returncode == 0, again.stderr
    assert identity(image) == "new"


@pytest.mark.parametrize("phase", ["opening the image", "changing", "reading everything back"])
def test_ctrl_c(golden: Path, tmp_path: Path, phase: str) -> None:
    image = copied(golden, tmp_path / "images")
    run = started(image)
    said = interrupted(run, phase)
    assert run.returncode == 1, said
    assert "Traceback" not in said
    if "as it was" in said and "complete" not in said:
        assert digest(image) == digest(golden)
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]
    assert identity(image) in {"old", "new"}


def test_ctrl_c_in_the_commit_is_whole(golden: Path, tmp_path: Path) -> None:
    image = copied(golden, tmp_path / "images")
    run = started(image)
    said = interrupted(run, "committing")
    assert run.returncode in {0, 1}, said
    assert "Traceback" not in said
    if "the image is as it was" in said:
        assert digest(image) == digest(golden)
    if "the image is complete" in said:
        assert identity(image) == "new"
    assert unclone("recover", image).returncode == 0
    assert identity(image) in {"old", "new"}
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]


def test_ctrl_c_while_the_image_is_written_says_that_it_is_complete(
    golden: Path, tmp_path: Path
) -> None:
    image = copied(golden, tmp_path / "images")
    tool = shutil.which("qemu-img")
    wrapper = tmp_path / "bin" / "qemu-img"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n[ "$1" != commit ] || kill -INT $PPID\nexec {tool} "$@"\n')
    wrapper.chmod(0o755)
    path = os.pathsep.join((str(wrapper.parent), os.environ["PATH"]))
    done = unclone("sanitize", "--engine", "direct", image, env={**os.environ, "PATH": path})
    assert done.returncode == 1, done.stderr
    assert "interrupted after the commit: the image is complete" in done.stderr
    assert identity(image) == "new"
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]


@pytest.mark.appliance
def test_ctrl_c_while_the_appliance_starts(golden: Path, tmp_path: Path) -> None:
    image = copied(golden, tmp_path / "images")
    run = started(image, "guestfs")
    assert run.stderr is not None
    for line in run.stderr:
        if "opening the image" in line:
            break
    time.sleep(3)  # in the middle of a start that takes ten seconds at best
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 1, said
    assert "as it was" in said
    assert digest(image) == digest(golden)
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]
    assert not processes_with(image)


def interrupted(run: subprocess.Popen[str], phase: str) -> str:
    """Send Ctrl-C to the whole foreground, as a terminal does, when *phase* is announced."""
    assert run.stderr is not None
    said = ""
    for line in run.stderr:
        said += line
        if phase in line:
            os.killpg(run.pid, signal.SIGINT)
            break
    said += run.communicate(timeout=120)[1]
    return said


def processes_with(image: Path) -> list[str]:
    """The command lines of processes that name *image*."""
    done = subprocess.run(["pgrep", "-fa", str(image)], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()
