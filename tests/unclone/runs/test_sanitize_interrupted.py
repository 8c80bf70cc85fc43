"""Interrupted at any moment, an image is untouched or, after ``recover``, complete.

With the installed command on a whole guest; the transaction has its own tests, format by format.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support import kills
from tests.support.command import PROGRAM, process
from tests.support.kills import (
    STATUSES,
    copied,
    digest,
    identity,
    interrupted,
    mounts_below,
    processes_with,
    started,
)
from tests.support.readback import check_image
from unclone.images.overlay import journal_path

if TYPE_CHECKING:
    from pathlib import Path

MOMENTS = 20


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest to copy."""
    folder = tmp_path_factory.mktemp("golden")
    return kills.golden(folder / "disk.qcow2")


@pytest.fixture(scope="module")
def complete(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The digest of the disk's content after an undisturbed run, and its seconds."""
    image = copied(golden, tmp_path_factory.mktemp("complete"))
    started = time.monotonic()
    done = process("sanitize", "--engine", "direct", image)
    assert done.returncode == 0, done.stderr
    return identity(image), time.monotonic() - started


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
    recovered = process("recover", image)
    for _ in range(50):
        if recovered.returncode != 3:  # a child that has not noticed yet still holds the lock
            break
        time.sleep(0.1)
        recovered = process("recover", image)
    assert recovered.returncode == 0, recovered.stderr
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]
    assert check_image(image).get("corruptions", 0) == 0
    if digest(image) != digest(golden):
        assert identity(image) == "new"
    again = process("sanitize", "--engine", "direct", image)
    assert again.returncode == 0, again.stderr
    assert identity(image) == "new"


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert process("recover", image).returncode == 0
    assert identity(image) in {"old", "new"}
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]


@pytest.mark.slow
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
    done = process("sanitize", "--engine", "direct", image, env={**os.environ, "PATH": path})
    assert done.returncode == 1, done.stderr
    assert "interrupted after the commit: the image is complete" in done.stderr
    assert identity(image) == "new"
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("taking the lock", signal.SIGTERM),
        ("opening the image", signal.SIGHUP),
        ("changing", signal.SIGTERM),
    ],
)
def test_sigterm_and_sighup_end_a_run_as_ctrl_c_does(
    golden: Path, tmp_path: Path, phase: str, number: signal.Signals
) -> None:
    image, temporary = copied(golden, tmp_path / "images"), tmp_path / "temporary"
    temporary.mkdir()
    run = started(image, temporary=temporary)
    said = interrupted(run, phase, number, process_group=False)
    assert run.returncode == STATUSES[number], said
    assert f"interrupted by {number.name}; the image is as it was" in said
    assert "Traceback" not in said
    assert digest(image) == digest(golden)
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]
    assert list(temporary.iterdir()) == []
    assert not mounts_below(tmp_path)


@pytest.mark.slow
def test_sighup_does_not_end_what_nohup_started(golden: Path, tmp_path: Path) -> None:
    image = copied(golden, tmp_path / "images")
    run = started(image, before="nohup")
    said = interrupted(run, "changing", signal.SIGHUP)
    assert run.returncode == 0, said
    assert identity(image) == "new"


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(MOMENTS + MOMENTS // 2))
def test_sigterm_at_any_moment(
    golden: Path, complete: tuple[str, float], tmp_path: Path, moment: int
) -> None:
    """With one image, and with two worked on by two processes."""
    images = [copied(golden, tmp_path / name) for name in ("one", "two")[: 1 + moment % 2]]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    number = [*STATUSES][moment // 2 % 2]
    run = started(*images, temporary=temporary)
    time.sleep(complete[1] * 1.1 * random.Random(moment).random())
    os.kill(run.pid, number)
    _, said = run.communicate(timeout=60)
    # Before the program has a handler, the signal ends it by itself.
    assert run.returncode in {0, STATUSES[number], -number}, said
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []
    assert not mounts_below(tmp_path)
    for image in images:
        assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]
        found = identity(image)
        assert found in ({"new"} if run.returncode == 0 else {"old", "new"}), said
        if found == "old":
            assert digest(image) == digest(golden)
        elif run.returncode and len(images) == 1:
            assert "as it was" not in said


@pytest.mark.slow
@pytest.mark.parametrize("form", kills.FORMS)
def test_struck_while_it_changes_something(tmp_path: Path, form: str) -> None:
    """`benchmarks.kills` does this more often."""
    image = kills.golden(tmp_path / f"disk.{form}", form)
    guest = kills.Undisturbed.measured(image, tmp_path / "undisturbed")
    for seed in range(4):
        assert kills.strike(guest, tmp_path / str(seed), seed)


@pytest.mark.slow
def test_recover_removes_what_a_killed_run_left(golden: Path, tmp_path: Path) -> None:
    # The temporary directory of that run, and a folder with such a name that it did not make.
    temporary, other = tmp_path / "temporary", tmp_path / "temporary/unclone-direct-other"
    other.mkdir(parents=True)
    (other / "notes").touch()
    for attempt in range(30):
        image = copied(golden, tmp_path / f"images-{attempt}")
        interrupted(started(image, temporary=temporary), "reading the guest", signal.SIGKILL)
        left = len(list(temporary.iterdir())) == 2 and not journal_path(image).exists()
        recovered = process("recover", image, env={**os.environ, "TMPDIR": str(temporary)})
        assert recovered.returncode == 0, recovered.stderr
        if left:  # else it was too late
            break
    # Any other run on this host, such as that of a test, takes it away as well.
    assert [p.name for p in temporary.iterdir()] == [other.name]
    assert (other / "notes").exists()
    assert [p.name for p in image.parent.iterdir()] == ["disk.qcow2"]


@pytest.mark.slow
def test_recover_removes_what_a_killed_dry_run_left(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, temporary = copied(golden, tmp_path / "images"), tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    argv = [os.fspath(each) for each in (PROGRAM, "sanitize", "--dry-run", image)]
    for _ in range(30):
        run = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
        interrupted(run, "reading the guest", signal.SIGKILL)
        if len(list(temporary.iterdir())) == 2:  # its overlay, and the disks
            break
        process("recover", image)  # it was too late
    assert len(list(temporary.iterdir())) == 2
    recovered = process("recover", image)
    assert recovered.returncode == 0, recovered.stderr
    assert list(temporary.iterdir()) == []
    assert not mounts_below(tmp_path)
    assert digest(image) == digest(golden)


@pytest.mark.appliance
def test_ctrl_c_while_the_appliance_starts(golden: Path, tmp_path: Path) -> None:
    image = copied(golden, tmp_path / "images")
    run = started(image, engine="guestfs")
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
