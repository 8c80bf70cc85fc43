"""A new UUID without tune2fs: every checksum is as if it had been computed, e2fsck says."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support import templates
from tests.support.disk_images import digest
from tests.support.disks import FileBlocks, poke
from unclone.images.file_systems import ext, ext_checksums
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UUID = "0f0e0d0c-0b0a-4908-8706-050403020100"
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "default": ("-b", "4096"),
    "small-blocks": ("-b", "1024"),
    "small-inodes": ("-I", "128", "-O", "^extra_isize"),
    "inline-data": ("-O", "inline_data"),
    "orphan-file": ("-O", "orphan_file"),
    "32bit": ("-O", "^64bit"),
    "sparse-super2": ("-O", "sparse_super2"),
    "no-flex-bg": ("-O", "^flex_bg"),
    "checksum-seed": ("-O", "metadata_csum_seed"),
    "large-dir": ("-O", "large_dir", "-b", "1024"),
}
LEFT = {
    "meta-bg": ("-O", "meta_bg,^resize_inode"),
    "no-checksums": ("-O", "^metadata_csum"),
    "encrypt": ("-O", "encrypt"),
    "quota": ("-O", "quota"),
    "stable-inodes": ("-O", "stable_inodes"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that has a checksum: an index, long lists of extents, large attributes."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "index").mkdir()
    for number in range(3000):
        (folder / f"index/a-rather-long-name-for-file-{number}").touch()
    with (folder / "sparse").open("wb") as file:
        for number in range(800):
            file.seek(number * 8192)
            file.write(b"x" * 1024)
    for number in range(10):
        os.setxattr(folder / "sparse", f"user.note-{number}", b"x" * 60)
    (folder / "link").symlink_to("x" * 200)
    return folder


def make(image: Path, tree: Path, options: tuple[str, ...], size: int = 40) -> None:
    described = (str(tree), options, size)
    templates.copy(described, image, lambda path: _make(path, tree, options, size))


def _make(image: Path, tree: Path, options: tuple[str, ...], size: int) -> None:
    with image.open("wb") as file:
        file.truncate(size << 20)
    features = ["^metadata_csum_seed,^orphan_file"]  # the same everywhere: 1.47.2 switches them on
    others = list(options)
    if "-O" in others:
        at = others.index("-O")
        features.append(others[at + 1])
        del others[at : at + 2]
    run(["mke2fs", "-q", "-F", "-t", "ext4", *others, "-O", ",".join(features), "-d", tree, image])
    run(["e2fsck", "-fDp", image], ok=(0, 1))  # which makes the index


def set_uuid(image: Path) -> tuple[bool, str]:
    blocks = FileBlocks(image)
    return ext_checksums.set_uuid(blocks, UUID), ext.read(blocks)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_e2fsck_finds_no_error(tmp_path: Path, tree: Path, variant: str) -> None:
    image = tmp_path / "image"
    make(image, tree, VARIANTS[variant])
    before = described(image)
    assert set_uuid(image) == (True, UUID)
    run(["e2fsck", "-fn", image])
    assert described(image) == before
    assert run(["blkid", "-p", "-o", "value", "-s", "UUID", image]).stdout.decode().strip() == UUID


@pytest.mark.slow
def test_the_copies_of_the_superblock_are_as_good(tmp_path: Path, tree: Path) -> None:
    image = tmp_path / "image"
    make(image, tree, VARIANTS["small-blocks"])
    set_uuid(image)
    poke(image, 1024, bytes(1024))
    said = run(["e2fsck", "-fy", "-b", "8193", "-B", "1024", image], ok=(0, 1)).stdout
    assert b"checksum" not in said
    run(["e2fsck", "-fn", image])
    assert ext.read(FileBlocks(image)) == UUID


@pytest.mark.slow
def test_a_wrong_checksum_stays_wrong(tmp_path: Path, tree: Path) -> None:
    """Damage is not hidden by it: the check that follows finds it."""
    image = tmp_path / "image"
    make(image, tree, VARIANTS["default"])
    table = int.from_bytes(FileBlocks(image).read(4096 + 8, 4), "little")
    poke(image, table * 4096 + 11 * 256 + 0x7C, b"\xa5\x5a")  # inode 12
    assert set_uuid(image) == (True, UUID)
    said = run(["e2fsck", "-fn", image], ok=(4,)).stdout
    assert b"Inode 12 passes checks, but checksum does not match inode" in said


@pytest.mark.parametrize("variant", LEFT)
def test_what_it_does_not_know_is_left_to_tune2fs(tmp_path: Path, variant: str) -> None:
    image, tree = tmp_path / "image", tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"x" * 10_000)
    make(image, tree, LEFT[variant], size=8)
    before = digest(image)
    assert not set_uuid(image)[0]
    assert digest(image) == before


@pytest.mark.slow
def test_an_extent_block_that_is_used_twice_is_left_to_e2fsck(tmp_path: Path, tree: Path) -> None:
    """Five levels of such blocks would make a walk without end."""
    image = tmp_path / "image"
    make(image, tree, VARIANTS["default"])
    root = re.search(
        rb"\x0a\xf3[\x02-\x04]\0\x04\0\x01\0.{4}(.{12})", image.read_bytes(), re.DOTALL
    )
    assert root is not None  # two extent blocks or more, in an inode
    poke(image, root.end(), root[1])
    before = digest(image)
    assert not set_uuid(image)[0]
    assert digest(image) == before


@pytest.mark.slow
def test_a_journal_that_has_to_be_replayed_is_left_to_e2fsck(tmp_path: Path, tree: Path) -> None:
    image = tmp_path / "image"
    make(image, tree, VARIANTS["default"])
    run(["debugfs", "-w", "-R", "feature needs_recovery", image])
    assert not set_uuid(image)[0]


def described(image: Path) -> str:
    """All that dumpe2fs says, without the UUID and the checksums."""
    lines = run(["dumpe2fs", image]).stdout.decode().splitlines()
    kept = [line for line in lines if "UUID" not in line and "hecksum" not in line]
    return "\n".join(line.partition("csum")[0] for line in kept)
