"""``--mode reflink`` on the file systems that can share blocks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk
from tests.unclone.test_clone import TREE, UUID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

MIB = 2**20
CONTENT = 48 * MIB  # of the golden image, and so of a copy that shares nothing


@pytest.fixture
def sharing(kind: str, tmp_path: Path) -> Iterator[Path]:
    """A mounted file system that can share blocks between files."""
    image, point = tmp_path / kind, tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    point.mkdir()
    done = subprocess.run(
        ["mount", "-o", "loop", image, point], check=False, capture_output=True, text=True
    )
    if done.returncode:
        # Not a skip: no other means makes such a file system on a host that cannot mount one.
        pytest.xfail(f"this host cannot mount {kind}: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", point], check=True)


def used(point: Path) -> int:
    os.sync()
    state = os.statvfs(point)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


@pytest.mark.parametrize(("kind", "form"), [("xfs", "raw"), ("btrfs", "qcow2")])
def test_machines_share_the_golden_images_blocks(sharing: Path, tmp_path: Path, form: str) -> None:
    tree = {**TREE, "/srv/data": os.urandom(CONTENT)}
    made = make_disk(
        tmp_path / f"golden.{form}", [Part("ext4", uuid=UUID, tree=tree, size=100)], form=form
    )
    golden = sharing / made.name
    shutil.copyfile(made, golden)
    before, taken = golden.read_bytes(), used(sharing)
    options = ("--mode", "reflink", "--count", "3", "--format", form, "-o", sharing / "vms")
    done = unclone("clone", golden, "--name", "web-{}", *options)
    assert done.returncode == 0, done.stderr
    assert golden.read_bytes() == before
    assert used(sharing) - taken < CONTENT
    assert golden.stat().st_mode & 0o200, "nothing depends on it"
    seen: set[str] = {UUID}
    for number in (1, 2, 3):
        folder = sharing / f"vms/web-{number}"
        record = json.loads((folder / "machine.json").read_text())
        assert record["backing"] == []
        (root,) = [
            value
            for key, value in record["machine"]["identifiers"].items()
            if key.startswith("file-system-uuid")
        ]
        assert root not in seen
        seen.add(root)
        disk = folder / f"disk.{form}"
        info = unclone("inspect", disk, "--json", "--format", form)
        assert info.returncode == 0, info.stderr
        assert root in info.stdout
        assert UUID not in info.stdout
    golden.unlink()
    again = unclone("inspect", sharing / f"vms/web-1/disk.{form}", "-q", "--format", form)
    assert again.returncode == 0
