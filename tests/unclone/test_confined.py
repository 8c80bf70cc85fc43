"""A host that allows little: no FUSE, no mount, no privilege, no network, one writable folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import PROGRAM
from tests.support.disks import BARE_ROOT, Part, make_disk
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
TREE = {**BARE_ROOT, "/etc/machine-id": f"{ID}\n", "/usr/lib/systemd/systemd": "ELF"}


#: All that is denied without bwrap, or where no user namespace can be made, as in a chroot.
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")


def confined(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The program, for whom *folder* is the only place to write to."""
    cell: tuple[str | Path, ...] = (
        *("bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000"),
        *("--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--bind", folder, folder),
        *("setpriv", "--no-new-privs", "--"),
    )
    there = shutil.which("bwrap") is not None
    if not there or subprocess.run([*cell, "true"], check=False, capture_output=True).returncode:
        cell = WITHOUT_CAPABILITIES
    return subprocess.run(
        [*cell, PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What it may write to."""
    made = tmp_path / "images"
    made.mkdir()
    return made


@pytest.mark.parametrize("form", ["qcow2", "vmdk"])
def test_an_ext_guest_needs_no_privilege(folder: Path, form: str) -> None:
    """Neither FUSE nor a mount, a network or a second writable folder."""
    image = make_disk(folder / f"disk.{form}", [Part("ext4", tree=TREE)], form=form)
    output = folder / "new.qcow2"
    where = ("-o", str(output)) if form == "vmdk" else ()
    done = confined(folder, "sanitize", "--json", "--engine", "direct", image, *where)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["status"], result["engine"]) == ("done", "direct")
    raw = folder / "raw"
    run(["qemu-img", "convert", "-O", "raw", output if where else image, raw])
    found = run(["debugfs", "-R", "cat /etc/machine-id", f"{raw}?offset={1 << 20}"]).stdout
    assert ID.encode() not in found
    left = {each.name for each in folder.iterdir()}
    assert left == {image.name, "raw", *([output.name] if where else ())}


@pytest.mark.slow  # strace is not everywhere where the fast tests run
def test_no_program_asks_for_fuse(folder: Path) -> None:
    image = make_disk(folder / "disk.qcow2", [Part("ext4", tree=TREE)], form="qcow2")
    seen = folder.parent / "strace"
    trace = ("strace", "-f", "-qq", "-e", "trace=execve,open,openat,mount", "-o", str(seen))
    run([*trace, PROGRAM, "sanitize", "-q", "--engine", "direct", image])
    said = seen.read_text()
    assert "e2fsck" in said  # it has seen the programs
    for word in ("/dev/fuse", "fusermount", "qemu-storage-daemon", "qemu-nbd", "mount("):
        assert word not in said


@pytest.mark.slow
def test_a_host_without_proc_is_told_so(folder: Path) -> None:
    image = make_disk(folder / "disk.qcow2", [Part("ext4", tree=TREE)], form="qcow2")
    before = image.read_bytes()
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    hidden = 'mount -t tmpfs none /proc && exec "$@"'
    done = subprocess.run(
        ["unshare", *as_root, "--mount", "sh", "-c", hidden, "sh", PROGRAM, "sanitize", image],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "/proc is not mounted" in done.stderr
    assert "internal error" not in done.stderr
    assert image.read_bytes() == before
