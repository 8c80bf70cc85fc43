"""Identifiers on devices: read, set, and read back by another program than the one that set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import EngineError
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from tests.support.bench import Bench

pytestmark = pytest.mark.appliance

UUID = "01234567-89ab-4cde-8f01-23456789abcd"
LVM_UUID = "unclon-0123-4567-89ab-cdef-ghij-klmnop"
MD_UUID = "01234567:89abcdef:01234567:89abcdef"
#: Partitions of the disk: 1 ext4, 2 xfs, 3 btrfs, 4 swap, 5 FAT32, 6 FAT16, 7 FAT12, 8 exFAT,
#: 9 XFS 4, 10 ext4 with metadata_csum_seed, 11 ext2.
SETTABLE = {
    "ext4": (IdentifierKind.FILE_SYSTEM_UUID, "1", UUID),
    "xfs": (IdentifierKind.FILE_SYSTEM_UUID, "2", UUID.replace("0", "1")),
    "btrfs": (IdentifierKind.FILE_SYSTEM_UUID, "3", UUID.replace("0", "2")),
    "btrfs-device": (IdentifierKind.BTRFS_DEVICE_UUID, "3", UUID.replace("0", "e")),
    "swap": (IdentifierKind.SWAP_UUID, "4", UUID.replace("0", "3")),
    "fat32": (IdentifierKind.VFAT_SERIAL, "5", "1234-ABCD"),
    "fat16": (IdentifierKind.VFAT_SERIAL, "6", "00FF-0010"),
    "fat12": (IdentifierKind.VFAT_SERIAL, "7", "0012-CAFE"),
    "exfat": (IdentifierKind.VFAT_SERIAL, "8", "BEEF-0001"),
    "xfs-4": (IdentifierKind.FILE_SYSTEM_UUID, "9", UUID.replace("0", "6")),
    "ext4-seed": (IdentifierKind.FILE_SYSTEM_UUID, "10", UUID.replace("0", "7")),
    "ext2": (IdentifierKind.FILE_SYSTEM_UUID, "11", UUID.replace("0", "8")),
    "f2fs": (IdentifierKind.FILE_SYSTEM_UUID, "12", UUID.replace("0", "9")),
    "partition": (IdentifierKind.PARTITION_GUID, "2", UUID.replace("0", "4")),
    "disk": (IdentifierKind.DISK_GUID, "", UUID.replace("0", "5")),
}


@pytest.mark.parametrize(("kind", "part", "value"), SETTABLE.values(), ids=SETTABLE)
def test_set_one_and_no_other(bench: Bench, kind: IdentifierKind, part: str, value: str) -> None:
    device = bench.devices["identifiers"] + part
    volumes = bench.volumes("identifiers")
    before = {(i.kind, i.device): i.value for i in volumes.identifiers()}
    assert before[kind, device] != value
    volumes.set_identifiers([Identifier(kind, device, value)])
    after = {(i.kind, i.device): i.value for i in volumes.identifiers()}
    assert after == {**before, (kind, device): value}
    result = volumes.check(f"{bench.devices['identifiers']}{part or 1}", repair=False)
    no_checker = kind is IdentifierKind.SWAP_UUID
    assert result.state == ("not-checked" if no_checker else "clean"), result.output


def test_both_boot_sectors_of_fat32_agree(bench: Bench) -> None:
    device = f"{bench.devices['identifiers']}5"
    volumes = bench.volumes("identifiers")
    volumes.set_identifiers([Identifier(IdentifierKind.VFAT_SERIAL, device, "DEAD-BEEF")])
    node = f"{bench.node('identifiers')}5"
    serials = bench.shell(f"for at in 67 3139; do od -An -tx4 -j $at -N 4 {node}; done")
    assert serials.split() == ["deadbeef", "deadbeef"]


def test_the_mbr_disk_id(bench: Bench) -> None:
    device = bench.devices["mbr"]
    volumes = bench.volumes("mbr")
    (before,) = [i for i in volumes.identifiers() if i.kind is IdentifierKind.MBR_DISK_ID]
    assert before.value != "0123abcd"
    volumes.set_identifiers([Identifier(IdentifierKind.MBR_DISK_ID, device, "0123abcd")])
    (after,) = [i for i in volumes.identifiers() if i.kind is IdentifierKind.MBR_DISK_ID]
    assert after == Identifier(IdentifierKind.MBR_DISK_ID, device, "0123abcd")
    (root,) = volumes.file_systems()
    assert root.partition_uuid == "0123abcd-01"
    assert not any(i.kind is IdentifierKind.PARTITION_GUID for i in volumes.identifiers())
    assert "0x0123abcd" in bench.shell(f"sfdisk -d {bench.node('mbr')}")


@pytest.mark.parametrize(
    ("kind", "part", "value"),
    [
        (IdentifierKind.FILE_SYSTEM_UUID, "1", "random"),
        (IdentifierKind.FILE_SYSTEM_UUID, "1", f"{UUID}; reboot"),
        (IdentifierKind.SWAP_UUID, "4", "clear"),
        (IdentifierKind.VFAT_SERIAL, "5", UUID),
        (IdentifierKind.PARTITION_GUID, "1", ""),
        (IdentifierKind.DISK_GUID, "", "0x12345678"),
        (IdentifierKind.MBR_DISK_ID, "", UUID),
    ],
)
def test_a_value_of_another_form_is_refused(
    bench: Bench, kind: IdentifierKind, part: str, value: str
) -> None:
    device = bench.devices["identifiers"] + part
    with pytest.raises(EngineError, match="not an identifier of this kind"):
        bench.volumes("identifiers").set_identifiers([Identifier(kind, device, value)])


@pytest.mark.parametrize(
    ("kind", "part", "value", "words"),
    [
        (IdentifierKind.FILE_SYSTEM_UUID, "5", UUID, r"no file-system-uuid on it \(vfat\)"),
        (IdentifierKind.VFAT_SERIAL, "1", "1234-ABCD", r"no vfat-serial on it \(ext4\)"),
        (IdentifierKind.MBR_DISK_ID, "", "12345678", "no partition table that holds it"),
        (IdentifierKind.SWAP_UUID, "1", UUID, r"no swap-uuid on it \(ext4\)"),
        (IdentifierKind.LUKS_UUID, "1", UUID, r"no luks-uuid on it \(ext4\)"),
        (IdentifierKind.LVM_PV_UUID, "1", LVM_UUID, r"no lvm-pv-uuid on it \(ext4\)"),
        (IdentifierKind.LVM_VG_UUID, "1", LVM_UUID, "there are 0 volume groups of that name"),
        (IdentifierKind.MD_UUID, "1", MD_UUID, r"no md-uuid on it \(ext4\)"),
    ],
)
def test_a_device_of_another_kind_is_refused(
    bench: Bench, kind: IdentifierKind, part: str, value: str, words: str
) -> None:
    device = bench.devices["identifiers"] + part
    with pytest.raises(EngineError, match=words):
        bench.volumes("identifiers").set_identifiers([Identifier(kind, device, value)])
