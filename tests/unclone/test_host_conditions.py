"""What the host does to a run, and disks that need care: status, message and result."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import sanitized, unclone
from tests.support.disks import BARE_ROOT, FileBlocks, Part, make_disk, poke
from tests.support.kills import digest, golden, identity, runs, started
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = "0123456789abcdef0123456789abcdef"
UUID = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
GUID = "ecdd5980-c369-e34f-bee9-2efac3934294"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/boot/grub/grub.cfg": f"search --fs-uuid {UUID}\n",
    "/usr/lib/systemd/systemd": "ELF",
}
SECTOR, MIB = 512, 1024 * 1024


def guest(folder: Path, *options: str, **more: str | bytes) -> Path:
    part = Part("ext4", TREE | more, uuid=UUID, gpt_uuid=GUID, options=options)
    return make_disk(folder / "disk.raw", [part])


def debugfs(image: Path, command: str) -> bytes:
    return run(["debugfs", "-R", command, f"{image}?offset={MIB}"]).stdout


def text_of(image: Path, path: str) -> str:
    """debugfs gives at least 60 bytes of what is inside an inode, so its size is asked for."""
    size = re.search(rb"Size: (\d+)", debugfs(image, f"stat {path}"))
    assert size
    return debugfs(image, f"cat {path}")[: int(size[1])].decode()


# -- files inside their inodes ----------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("machine_id", [f"{ID}\n", ""], ids=["an id", "no id"])
def test_texts_inside_inodes_follow(tmp_path: Path, machine_id: str) -> None:
    image = guest(tmp_path, "-O", "inline_data", **{"/etc/machine-id": machine_id})
    found = sanitized("--engine", "direct", image)
    (new,) = (c["new"] for c in found["changes"] if c["old"] == UUID and c["action"][:3] == "set")
    for path in ("/etc/fstab", "/boot/grub/grub.cfg"):
        before = TREE[path]
        assert isinstance(before, str)
        assert text_of(image, path) == before.replace(UUID, new)
    assert text_of(image, "/etc/machine-id") == ""
    run(["e2fsck", "-fn", f"{image}?offset={MIB}"])


# -- images that others have open -------------------------------------------------------------
@contextmanager
def on_a_loop_device(image: Path) -> Iterator[str]:
    device = run(["losetup", "--find", "--show", image]).stdout.decode().strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


@contextmanager
def open_for_writing(image: Path) -> Iterator[str]:
    program = "import sys; f = open(sys.argv[1], 'r+b'); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program, image], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield f"process {process.pid}"
        process.communicate(b"\n")


Opened = Callable[[Path], AbstractContextManager[str]]


@pytest.mark.slow
@pytest.mark.parametrize("opened", [on_a_loop_device, open_for_writing])
@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_an_image_that_others_write_to_is_in_use(
    tmp_path: Path, opened: Opened, options: tuple[str, ...]
) -> None:
    image = guest(tmp_path)
    before = digest(image)
    with opened(image) as who:
        done = unclone("sanitize", *options, image)
    assert done.returncode == 3, done.stderr
    assert who in done.stderr
    assert digest(image) == before


# -- helpers that end ---------------------------------------------------------------------------
def helpers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if runs(child, "ext.worker")]


@pytest.mark.slow
def test_a_helper_that_is_killed_is_named(tmp_path: Path) -> None:
    """As the kernel does that is out of memory, when the changes begin."""
    (tmp_path / "images").mkdir()
    image = golden(tmp_path / "images" / "disk.qcow2")
    said, killed = "", 0
    with started(image) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if ": changing" in line:
                for helper in helpers_of(process):
                    os.kill(helper, signal.SIGKILL)
                    killed += 1
    assert killed == 1, said
    assert process.returncode == 1, said
    assert "the ext file system worker was killed by something else" in said
    assert "when memory runs out" in said
    assert "bug" not in said
    assert "Traceback" not in said
    assert identity(image) == "old"
    assert [each.name for each in image.parent.iterdir()] == [image.name]


# -- partition tables ---------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("place", [SECTOR + 16, -SECTOR + 16], ids=["primary", "backup"])
def test_a_damaged_header_keeps_no_old_guid(tmp_path: Path, place: int) -> None:
    image = guest(tmp_path)
    disk = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]["id"]
    size = image.stat().st_size
    poke(image, place % size, b"\xa5\x5a\xa5\x5a")
    found = sanitized("--engine", "direct", image)
    assert {change["old"].lower() for change in found["changes"]} >= {GUID, disk.lower()}
    blocks = FileBlocks(image)
    tables = blocks.read(0, MIB) + blocks.read(size - MIB, MIB)
    assert tables.count(b"EFI PART") == 2
    for old in (GUID, disk):
        assert uuid.UUID(old).bytes_le not in tables
    assert b"No errors detected" in run(["sfdisk", "--verify", image]).stdout
