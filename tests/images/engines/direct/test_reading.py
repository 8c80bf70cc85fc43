"""What is read without QEMU: the same bytes, and after the changes the overlay's own."""

from __future__ import annotations

import errno
import random
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import complaints, file_disk, make_ext, mounted_direct
from tests.support.disk_images import digest
from tests.support.disks import MIB, FileBlocks
from tests.support.selection import slow_but
from unclone.images.chain import read_chain
from unclone.images.engines.direct.ext.filesystem import ExtFileSystem
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.engines.engine import Drive
from unclone.images.file_systems.ext_superblock import Superblock, parse
from unclone.images.formats.header import Format
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of one piece, of many, with holes, and with none."""
    folder = tmp_path_factory.mktemp("tree")
    chance = random.Random(1)
    (folder / "large").write_bytes(chance.randbytes(6 * MIB + 17))
    (folder / "empty").touch()
    (folder / "short").write_bytes(b"x")
    with (folder / "holes").open("wb") as file:
        for number in range(700):
            file.seek(number * 12288)
            file.write(chance.randbytes(4096))
        file.truncate(12 * MIB)
    return folder


@pytest.fixture(params=slow_but({"ext4"}, ["ext4", "ext2", "inline"]))
def image(tmp_path: Path, tree: Path, request: pytest.FixtureRequest) -> Path:
    options = {"ext4": ["-t", "ext4"], "ext2": ["-t", "ext2"], "inline": ["-O", "inline_data"]}
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    run(["mke2fs", "-q", "-F", *options[request.param], "-d", tree, path])
    if request.param == "ext4":  # room that was set aside and never written
        (tmp_path / "nothing").touch()
        for command in (
            "write /dev/null set-aside",
            "fallocate /set-aside 0 40",
            "sif /set-aside size 160000",
        ):
            run(["debugfs", "-w", "-R", command, path])
    return path


def dumped(image: Path, name: str) -> bytes:
    return run(["debugfs", "-R", f"cat /{name}", image]).stdout


@pytest.mark.slow
def test_every_file_is_what_debugfs_says(image: Path, tree: Path) -> None:
    volumes = mounted_direct(image)
    try:
        for name in volumes.scan("/"):
            if name == "lost+found":
                continue
            content = volumes.read(f"/{name}", 64 * MIB)
            said = dumped(image, name)
            if name in {"empty", "short"}:  # debugfs gives 60 bytes of one in its inode
                said = (tree / name).read_bytes()
            assert content == said, name
            assert volumes.read(f"/{name}", 100) == content[:100]
            assert volumes.read(f"/{name}", 2 * MIB + 5) == content[: 2 * MIB + 5]
    finally:
        volumes.close()


@pytest.mark.slow
def test_what_was_written_is_read(image: Path) -> None:
    volumes = mounted_direct(image)
    content = random.Random(2).randbytes(3 * MIB)
    volumes.write("/large", content, keep=MIB)
    assert volumes.read("/large", 64 * MIB)[MIB:] == content
    volumes.write("/holes", content)
    assert volumes.read("/holes", 64 * MIB) == content
    volumes.create("/new", content[:5000], mode=0o600, uid=0, gid=0)
    assert volumes.read("/new", 64 * MIB) == content[:5000]
    volumes.close()
    assert dumped(image, "holes") == content
    assert not complaints(image)


@pytest.mark.slow
def test_verification_reads_the_overlay_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    base = make_ext(tmp_path / "base.raw")
    overlay = tmp_path / "overlay"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay])
    before = digest(base)
    drive = Drive(overlay, "qcow2", read_chain(base, Format.RAW))
    volumes = DirectVolumes([drive], read_only=False)
    volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    content = random.Random(3).randbytes(2 * MIB)
    volumes.create("/file", content, mode=0o644, uid=0, gid=0)
    volumes.unmount_all()
    check = volumes.begin_check("/dev/sda")
    volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    for scratch in (tmp_path / "temporary").glob("unclone-direct-*/scratch*"):
        scratch.write_bytes(bytes(1000))  # it is not read any more
    assert check().state == "clean"
    assert volumes.read("/file", 64 * MIB) == content
    assert volumes.search(["/"], [content[:40]], exclude=(), limit=4 * MIB) == ["/file"]
    volumes.close()
    assert digest(base) == before


@pytest.mark.slow
def test_nothing_is_written_outside_the_file_system(tmp_path: Path) -> None:
    """A file system whose superblock gives a larger size than its device has."""
    image = make_ext(tmp_path / "image")
    found = parse(FileBlocks(image).read(1024, 1024))
    assert found is not None
    half = Superblock(found.raw)
    half.s_blocks_count_lo //= 2
    before = digest(image, half.size)
    disk = file_disk(image)
    opened = ExtFileSystem(disk, 0, half, writable=True)
    with pytest.raises(OSError) as raised:
        opened.create(b"/large", b"x" * 40 * MIB, 0o644, 0, 0)
    assert raised.value.errno == errno.EFAULT
    assert digest(image, half.size) == before
    disk.close()
