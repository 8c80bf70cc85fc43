"""What the direct engine says no to, by name and before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.direct import make_ext, mounted_direct, open_direct
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, MIB, Part, make_disk, make_file_system
from unclone.images.engines.direct.engine import BeyondReachError, DirectEngine, reach
from unclone.images.engines.engine import Drive, no_keys
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

FEATURES = [
    "bigalloc",
    "quota",
    "project,quota",
    "encrypt",
    "casefold",
    "verity",
    "ea_inode",
    "mmp",
]


def opened(path: Path) -> None:
    with DirectEngine().open([Drive(path, "raw")], keys=no_keys, read_only=False, say=print):
        pass


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_beyond_reach_is_named(tmp_path: Path, feature: str) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(48 * MIB)
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", feature, image])
    before = digest(image)
    name = feature.partition(",")[0]
    assert name in reach([Drive(image, "raw")])
    with pytest.raises(BeyondReachError, match=name):
        opened(image)
    assert digest(image) == before


@pytest.mark.parametrize("form", ["xfs", "btrfs"])
def test_one_foreign_file_system_takes_the_guest_out_of_reach(tmp_path: Path, form: str) -> None:
    disk = make_disk(tmp_path / "disk", [Part("ext4", BARE_ROOT), Part(form)])
    assert f"/dev/sda2 holds {form}" in reach([Drive(disk, "raw")])


SIGNATURES = {
    "crypto_LUKS": (0, b"LUKS\xba\xbe\0\2"),
    "LVM2_member": (512, b"LABELONE" + bytes(16) + b"LVM2 001"),
    "linux_raid_member": (4096, b"\xfc\x4e\x2b\xa9"),
    "ntfs": (0, b"\xeb\x52\x90NTFS    "),
    "BitLocker": (0, b"\xeb\x58\x90-FVE-FS-"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_is_enough(tmp_path: Path, name: str) -> None:
    offset, magic = SIGNATURES[name]
    image = make_file_system(tmp_path / "image", Part("ext4", BARE_ROOT))
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(magic)
    assert name in reach([Drive(image, "raw")])


def test_a_file_system_larger_than_its_partition_is_beyond_reach(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    with image.open("r+b") as file:
        file.truncate(24 * MIB)
    assert "larger than its partition" in reach([Drive(image, "raw")])


@pytest.mark.slow
def test_an_ordinary_guest_is_within_reach(tmp_path: Path) -> None:
    parts = [Part("vfat"), Part("ext4", BARE_ROOT), Part("ext2"), Part("swap"), Part("")]
    for form in ("raw", "qcow2", "vmdk", "vdi"):
        disk = make_disk(tmp_path / f"disk.{form}", parts, form=form)
        assert reach([Drive(disk, form)]) == ""


@pytest.mark.slow
def test_a_journal_is_replayed_and_a_read_only_drive_stays_as_it_is(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    commands = "feature +needs_recovery\nset_super_value s_state 0\n"
    run(["debugfs", "-w", "-f", "-", image], stdin=commands.encode())
    before = digest(image)
    volumes = open_direct(image, read_only=True)
    volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    assert "lost+found" in volumes.scan("/")
    volumes.close()
    assert digest(image) == before
    volumes = mounted_direct(image)
    volumes.create("/file", b"x", mode=0o644, uid=0, gid=0)
    volumes.close()
    features = run(["dumpe2fs", "-h", image]).stdout
    assert b"needs_recovery" not in features
