"""The check of a copy: content with it means sound, whatever kind of file system it is."""

from __future__ import annotations

import random
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import EXT_VARIANTS, complaints, file_disk, open_direct, revision_0
from tests.support.disks import MIB
from unclone.images.engines.direct import checks
from unclone.images.engines.direct.ext.checker import copy_metadata
from unclone.images.engines.direct.ext.metadata import Metadata, UnusualError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unclone.images.engines.direct.access.disk import Disk


#: As the engine's, and what else a file system may have been made with.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    **EXT_VARIANTS,
    "ext4-resizable": ("-t", "ext4", "-E", "resize=4G"),
    "ext4-block-mapped": ("-t", "ext4", "-O", "^extent,^64bit"),
    "ext4-large-inodes": ("-t", "ext4", "-I", "512"),
    "ext4-all-backups": ("-t", "ext4", "-O", "^sparse_super,^metadata_csum,^resize_inode"),
    "ext4-quota": ("-t", "ext4", "-O", "quota"),
    "ext2-revision-0": ("-t", "ext2", *revision_0()),
    "ext4-many-groups": ("-t", "ext4", "-g", "2048", "-b", "1024"),
}
#: Whose group descriptors are spread over the disk.
UNUSUAL = {"ext4-meta-bg"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large directories, long symlinks, attributes, sparse and fragmented files."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "many").mkdir()
    for number in range(900):
        (folder / "many" / f"a file with quite a long name {number}").write_bytes(b"x" * number)
    for number in range(40):
        (folder / f"folder {number}" / "below").mkdir(parents=True)
    (folder / "long link").symlink_to("t" * 900)
    (folder / "short link").symlink_to("many")
    with (folder / "holes").open("wb") as file:
        for number in range(900):  # more extents than fit into an inode, or into one block
            file.seek(number * 16384)
            file.write(b"data")
    (folder / "large").write_bytes(random.Random(1).randbytes(5 * MIB))
    return folder


def make(image: Path, tree: Path, variant: str, *, mib: int = 96) -> Path:
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    run(["mke2fs", "-q", "-F", *VARIANTS[variant], "-d", tree, image])
    run(["e2fsck", "-fDp", image], ok=(0, 1))  # which makes the indexes
    run(["debugfs", "-w", "-R", f"ea_set {quoted('/long link')} user.x {'v' * 60}", image])
    assert not complaints(image)
    return image


def quoted(name: str) -> str:
    return f'"{name}"'


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v not in UNUSUAL])
def test_what_a_check_reads_is_in_the_copy(tmp_path: Path, tree: Path, variant: str) -> None:
    image = make(tmp_path / "image", tree, variant)
    copied = tmp_path / "copy"
    disk = file_disk(image)
    file = copy_metadata(disk, 0)
    with open(file, "rb") as source:
        copied.write_bytes(source.read())
    assert not complaints(copied)
    held = sum(length for _, length in set(places(disk)))
    assert held < image.stat().st_size / 4
    assert image.read_bytes() != copied.read_bytes()  # the contents of files are not in it
    disk.close()


def places(disk: Disk) -> list[tuple[int, int]]:
    return list(Metadata(disk.read).places())


@pytest.mark.parametrize("variant", UNUSUAL)
def test_unusual_ones_are_checked_where_they_are(tmp_path: Path, tree: Path, variant: str) -> None:
    image = make(tmp_path / "image", tree, variant)
    with pytest.raises(UnusualError):
        copy_metadata(file_disk(image), 0)
    volumes = open_direct(image)
    assert volumes.begin_check("/dev/sda")().state == "clean"
    volumes.close()


def test_one_that_is_too_large_is_checked_where_it_is(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make(tmp_path / "image", tree, "ext4")
    monkeypatch.setattr("unclone.images.engines.direct.ext.checker._LIMIT", 1024)
    with pytest.raises(UnusualError):
        copy_metadata(file_disk(image), 0)


def test_nothing_is_checked_twice(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make(tmp_path / "image", tree, "ext4")
    volumes = open_direct(image)
    check = volumes.begin_check("/dev/sda")
    monkeypatch.setattr(checks, "check", lambda *_, **__: pytest.fail("the disk was checked too"))
    assert check().state == "clean"
    volumes.close()


@pytest.mark.parametrize("seed", range(25))
def test_content_with_the_copy_means_content_with_the_disk(
    tmp_path: Path, pristine: Path, seed: int
) -> None:
    """Damage anywhere in the metadata: no complaint about the copy, none about the disk."""
    raw = bytearray(pristine.read_bytes())
    chance = random.Random(seed)
    found = sorted(set(places(file_disk(pristine))))
    for _ in range(chance.choice((1, 3, 20))):
        start, length = chance.choice(found)
        used = [n for n in range(start, min(start + length, len(raw)), 64) if any(raw[n : n + 64])]
        raw[chance.choice(used or [start]) + chance.randrange(64)] ^= 1 << chance.randrange(8)
    image = tmp_path / "image"
    image.write_bytes(raw)
    try:
        file = copy_metadata(file_disk(image), 0)
    except (UnusualError, OSError, struct.error):
        return  # then the disk itself is checked
    with open(file, "rb") as source:
        content = source.read()
    (tmp_path / "copy").write_bytes(content)
    said = subprocess.run(
        ["e2fsck", "-fn", tmp_path / "copy"], capture_output=True, text=True, check=False
    )
    if said.returncode == 0:
        assert not complaints(image)


@pytest.fixture(scope="module", params=["ext4", "ext3"])
def pristine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tree: Path
) -> Path:
    return make(tmp_path_factory.mktemp("pristine") / "image", tree, request.param, mib=24)
