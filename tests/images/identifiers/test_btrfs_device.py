"""The device UUID of a btrfs, judged by btrfs-progs: nothing refers to the old one any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import FileBlocks, Part, make_file_system, poke
from unclone.images.errors import EngineError
from unclone.images.file_systems import btrfs
from unclone.images.identifiers import btrfs_device
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

NEW = "01234567-89ab-4cde-8f01-23456789abcd"
LARGE = b"x" * 300_000
TREE: dict[str, str | bytes | None] = {"/etc/os-release": "ID=debian\n", "/large": LARGE}


def made(folder: Path, *options: str) -> Path:
    return make_file_system(folder / "image", Part("btrfs", TREE, options=options))


def uuids(image: Path) -> set[str]:
    """Every device UUID that btrfs-progs sees, in superblocks and in the chunk tree."""
    supers = run(["btrfs", "inspect-internal", "dump-super", "-fa", image]).stdout
    chunks = run(["btrfs", "inspect-internal", "dump-tree", "-t", "chunk", image]).stdout
    found = re.findall(rb"dev_item.uuid\s+(\S+)", supers)
    found += re.findall(rb"dev_uuid (\S+)", supers + chunks)
    found += re.findall(rb"dev item.*\n(?:.*\n){1,4}?\s+uuid (\S+)", chunks)
    assert len(found) > 5
    return {each.decode() for each in found}


@pytest.mark.parametrize(
    "options",
    [
        ("-m", "dup"),
        ("-m", "single", "--nodesize", "4096", "--csum", "sha256"),
        ("--csum", "blake2", "-O", "^no-holes"),
        ("--mixed",),
    ],
    ids=" ".join,
)
def test_every_copy_is_set(tmp_path: Path, options: tuple[str, ...]) -> None:
    image = made(tmp_path, *options)
    blocks = FileBlocks(image)
    old, file_system = btrfs_device.read(blocks), btrfs.read(blocks)
    assert uuids(image) == {old}
    assert btrfs_device.unsettable(blocks) == ""
    assert uuids(image) == {old}  # asking changes nothing
    btrfs_device.write(blocks, NEW)
    assert (btrfs_device.read(blocks), btrfs.read(blocks)) == (NEW, file_system)
    assert uuids(image) == {NEW}
    run(["btrfs", "check", "--readonly", image])
    run(["btrfs", "restore", image, tmp_path])
    assert (tmp_path / "large").read_bytes() == LARGE


def test_what_is_not_understood_stays(tmp_path: Path) -> None:
    image = made(tmp_path, "--csum", "xxhash")
    assert "checksums are of a kind" in btrfs_device.unsettable(FileBlocks(image))


@pytest.mark.slow
def test_a_damaged_chunk_tree_stays(tmp_path: Path) -> None:
    image = made(tmp_path)
    supers = run(["btrfs", "inspect-internal", "dump-super", "-f", image]).stdout
    place = re.search(
        rb"chunk_root\s+(\d+)(?:.*\n)+?.*CHUNK_ITEM (\d+)\)\n.*type SYSTEM"
        rb"(?:.*\n)+?.*stripe 0 devid 1 offset (\d+)",
        supers,
    )
    assert place is not None
    root, chunk, offset = map(int, place.groups())
    poke(image, offset + root - chunk + 200, b"\0\1\2\3")
    before = image.read_bytes()
    blocks = FileBlocks(image)
    assert "damaged, or its copies differ" in btrfs_device.unsettable(blocks)
    with pytest.raises(EngineError, match="damaged, or its copies differ"):
        btrfs_device.write(blocks, NEW)
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("offset", "value"),
    [(811 + 17 + 44, b"\xff\xff"), (148, b"\xf0\xff\xff\xff"), (148, b"\x08\0\0\0")],
    ids=["stripes of a chunk", "large nodes", "small nodes"],
)
def test_a_superblock_with_impossible_numbers_stays(
    tmp_path: Path, offset: int, value: bytes
) -> None:
    image = made(tmp_path)
    poke(image, 0x10000 + offset, value)
    assert btrfs_device.unsettable(FileBlocks(image)) == "its chunk tree is not understood"


def test_one_of_several_devices_stays(tmp_path: Path) -> None:
    images = [tmp_path / "a", tmp_path / "b"]
    for image in images:
        with image.open("wb") as file:
            file.truncate(128 * 1024 * 1024)
    run(["mkfs.btrfs", "-q", *images])
    assert "several devices" in btrfs_device.unsettable(FileBlocks(images[0]))


def test_without_a_btrfs_there_is_none(tmp_path: Path) -> None:
    image = make_file_system(tmp_path / "image", Part("ext4"))
    assert btrfs_device.read(FileBlocks(image)) == ""
    assert btrfs_device.unsettable(FileBlocks(image)) == "there is no btrfs on it"
