"""What blkid says of a volume is said here: type, identifier and label."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import revision_0
from tests.support.disks import FileBlocks, Part, make_file_system
from unclone.images import file_systems
from unclone.images.file_systems.file_system_type import FileSystemType
from unclone.images.file_systems.table import TABLE, UNKNOWN, recognise, type_of
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PARTS: Mapping[str, Part] = {
    "ext2": Part("ext2", label="two"),
    "ext3": Part("ext3", label="three"),
    "ext4": Part("ext4", label="f\N{LATIN SMALL LETTER U WITH DIAERESIS}nf"),
    "ext4-without-journal": Part("ext4", options=("-O", "^has_journal")),
    "ext2-revision-0": Part("ext2", options=revision_0()),
    "xfs": Part("xfs", label="twelve chars"),
    "btrfs": Part("btrfs", label="a label"),
    "f2fs": Part("f2fs", label="fl\N{LATIN SMALL LETTER A WITH DIAERESIS}sh"),
    "f2fs-unnamed": Part("f2fs"),
    "exfat": Part("exfat", label="big card"),
    "exfat-unnamed": Part("exfat"),
    "fat12": Part("vfat", label="TWELVE", options=("-F", "12"), size=4),
    "fat16": Part("vfat", label="SIXTEEN", options=("-F", "16"), size=16),
    "fat32": Part("vfat", label="THIRTYTWO"),
    "fat32-unnamed": Part("vfat"),
    "swap": Part("swap", label="more room"),
}


def blkid(image: Path) -> tuple[str, str, str]:
    type_, uuid, label = (
        run(["blkid", "-p", "-o", "value", "-s", tag, image], ok=(0, 2))
        .stdout.decode()
        .rstrip("\n")
        for tag in ("TYPE", "UUID", "LABEL")
    )
    return type_, uuid, label


@pytest.mark.parametrize("name", PARTS)
def test_what_blkid_says_is_said_here(tmp_path: Path, name: str) -> None:
    image = make_file_system(tmp_path / "image", PARTS[name])
    volume = FileBlocks(image)
    found = recognise(volume)
    kind = type_of(found)
    assert (found, kind.read(volume), kind.label(volume)) == blkid(image)
    assert kind.label(volume) == PARTS[name].label


@pytest.mark.parametrize("size", [0, 1, 512, 1024, 4096, 1 << 20])
def test_zeros_are_nothing(tmp_path: Path, size: int) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(size))
    assert recognise(FileBlocks(image)) == UNKNOWN


def test_every_type_that_is_defined_is_in_the_table() -> None:
    defined = {
        kind
        for module in iter_modules(file_systems.__path__)
        for kind in vars(import_module(f"{file_systems.__name__}.{module.name}")).values()
        if isinstance(kind, FileSystemType)
    }
    assert defined <= {*TABLE}


def test_no_name_is_twice_in_the_table() -> None:
    names = Counter(name for one in TABLE for name in one.names)
    assert [name for name, count in names.items() if count > 1] == []


def test_what_is_set_can_also_be_read_back() -> None:
    for one in TABLE:
        assert not (one.write and one.commands), one.names
        if one.write or one.commands:
            assert one.read is not type_of("no such type").read, one.names


def test_a_type_that_is_not_in_the_table_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(4096))
    volume = FileBlocks(image)
    kind = type_of("hfsplus")
    assert kind.why_unsettable(volume) == "there is no way to change the identifier of 'hfsplus'"
    assert (kind.read(volume), kind.label(volume), kind.checker) == ("", "", None)
