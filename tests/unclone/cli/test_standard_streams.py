"""Standard streams that are closed, full or not read: the status is that of what was done."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import PROGRAM
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk

ID = "0123456789abcdef0123456789abcdef"
TREE = {**BARE_ROOT, "/etc/machine-id": f"{ID}\n", "/usr/lib/systemd/systemd": "ELF"}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest to copy."""
    folder = tmp_path_factory.mktemp("golden")
    return make_disk(folder / "disk.qcow2", [Part("ext4", tree=TREE)], form="qcow2")


@pytest.fixture
def image(golden: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(golden, tmp_path / "disk.qcow2"))


def run(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """``unclone`` with *command*, which a shell reads, redirections included."""
    script = f"set -o pipefail; {shlex.quote(str(PROGRAM))} {command}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirected", "says"),
    [
        (">/dev/full", "No space left on device"),
        (">&-", "it is closed"),
        pytest.param("--json >/dev/full", "No space left on device", marks=pytest.mark.slow),
        ("| head -c 0", "Broken pipe"),
    ],
)
def test_an_image_that_was_changed_is_said_to_be(
    image: Path, golden: Path, redirected: str, says: str
) -> None:
    done = run(image.parent, f"sanitize -q --engine direct disk.qcow2 {redirected}")
    assert done.returncode == 0, done.stderr
    assert says in done.stderr
    assert "  disk.qcow2: done\n" in done.stderr
    assert "as it was" not in done.stderr
    assert digest(image) != digest(golden)
    assert os.listdir(image.parent) == ["disk.qcow2"]


@pytest.mark.slow
@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>&1"])
def test_what_cannot_be_said_stops_nothing(image: Path, golden: Path, redirected: str) -> None:
    done = run(image.parent, f"sanitize --engine direct disk.qcow2 {redirected}")
    assert (done.returncode, done.stderr) == (0, "")
    assert digest(image) != digest(golden)
    subprocess.run(["qemu-img", "check", "-q", image], check=True)
    assert run(image.parent, f"sanitize none.qcow2 {redirected}").returncode == 2


@pytest.mark.slow
def test_each_of_several_images_is_told_of(image: Path) -> None:
    done = run(image.parent, "sanitize --json disk.qcow2 none.qcow2 > /dev/full")
    assert done.returncode == 2, done.stderr
    assert "  disk.qcow2: done\n  none.qcow2 does not exist\n" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("inspect disk.qcow2", 1),
        ("inspect none.qcow2 --json", 2),
        ("sanitize disk.qcow2 --dry-run", 1),
        ("steps", 1),
        ("doctor -q", 1),
        ("seed --hostname a --output -", 1),
        ("ledger none.ledger --json", 2),
        ("sanitize --no-such-option --json", 2),
        ("completion bash", 1),
        ("--help", 1),
        ("--version", 1),
    ],
)
def test_output_that_is_all_there_is_fails(image: Path, command: str, status: int) -> None:
    before = digest(image)
    done = run(image.parent, f"{command} >/dev/full")
    assert done.returncode == status, done.stderr
    if status == 1:
        assert "cannot write to standard output: No space left on device" in done.stderr
    assert digest(image) == before
    assert os.listdir(image.parent) == ["disk.qcow2"]


@pytest.mark.slow
def test_files_that_were_written_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "old.xml").write_text("<domain type='kvm'><name>old</name></domain>\n")
    done = run(tmp_path, "define old.xml --name new --output new.xml >/dev/full")
    assert (done.returncode, "  old.xml: done\n" in done.stderr) == (0, True), done.stderr
    done = run(tmp_path, "seed -q --hostname a -o a.iso >/dev/full")
    assert (done.returncode, "  a.iso: written\n" in done.stderr) == (0, True), done.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.iso", "new.xml", "old.xml"]


def test_a_file_does_not_take_the_place_of_a_closed_stream(image: Path) -> None:
    """What is printed would be written into it."""
    program = (
        "import os, sys; from unclone.cli.standard_streams import prepare; prepare()\n"
        "assert os.open(sys.argv[1], os.O_RDWR) > 2"
    )
    shell = ("bash", "-c", '"$@" <&- >&- 2>&-', "-")
    argv = [*shell, sys.executable, "-c", program, os.fspath(image)]
    assert subprocess.run(argv, check=False).returncode == 0
