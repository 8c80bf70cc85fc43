"""The names a guest has for its file systems, and which one each means."""

from __future__ import annotations

import pytest

from unclone.images.device_names import DeviceNames
from unclone.images.volumes import FileSystem

ESP = FileSystem("/dev/sda1", "vfat", "ABCD-1234", "EFI", "aaaa-1", "efi system")
ROOT = FileSystem("/dev/sda2", "ext4", "1111-2222", "root fs", "aaaa-2", "root")
DATA = FileSystem("/dev/sdb1", "xfs", "3333-4444", "dätä/1", "bbbb-1")
TWIN = FileSystem("/dev/sdb2", "ext4", "1111-2222", "twin")
LUKS = FileSystem("/dev/sdb3", "crypto_LUKS", "5555-6666")
CRYPT = "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-"
INNER = FileSystem(
    "/dev/mapper/luks-5555-6666", "ext4", "7777-8888", mapper_uuid=f"{CRYPT}luks-5555-6666"
)
LVM = "LVM-Vg0Vg0AbCd111122223333444455zzz1Lv0Lv0EfGh555566667777888899yyy2"
VOLUME = FileSystem("/dev/my-vg/root-lv", "xfs", "9999-0000", mapper_uuid=LVM)
ARRAY = FileSystem("/dev/md127", "ext4", "cccc-dddd")
MANY = FileSystem("/dev/sdab1", "ext4", "dddd-dddd")
ALL = (ESP, ROOT, DATA, TWIN, LUKS, INNER, VOLUME, ARRAY, MANY)

NESTED = FileSystem("/dev/my-vg/locked", "crypto_LUKS", "aaaa-aaaa")
NESTED_INNER = FileSystem("/dev/mapper/luks-aaaa-aaaa", "ext4", "bbbb-bbbb")
CRYPTTAB = """# name device key
secret UUID=5555-6666 none luks
loop /dev/mapper/loop none
by-id /dev/disk/by-id/dm-name-by-id none
on-lvm /dev/mapper/my--vg-locked none

bad
"""


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("UUID=3333-4444", [DATA]),
        ('UUID="3333-4444"', [DATA]),
        ("uuid=3333-4444", [DATA]),
        ("UUID=abcd-1234", [ESP]),
        ("UUID=1111-2222", [ROOT, TWIN]),
        ("UUID=", []),
        ("UUID=nothing", []),
        ("LABEL=root fs", [ROOT]),
        ("LABEL=ROOT FS", []),
        ("PARTUUID=AAAA-1", [ESP]),
        ("PARTLABEL=efi system", [ESP]),
        ("ID=x", []),
        ("/dev/disk/by-uuid/ABCD-1234", [ESP]),
        (r"/dev/disk/by-label/d\xc3\xa4t\xc3\xa4\x2f1", [DATA]),
        ("/dev/disk/by-partuuid/aaaa-2", [ROOT]),
        (r"/dev/disk/by-partlabel/efi\x20system", [ESP]),
        ("/dev/sda1", [ESP]),
        ("/dev/vda2", [ROOT]),
        ("/dev/xvdb1", [DATA]),
        ("/dev/hda1", [ESP]),
        ("/dev/nvme0n1p2", [ROOT]),
        ("/dev/nvme1n1p1", [DATA]),
        ("/dev/mmcblk0p1", [ESP]),
        ("/dev/nvme27n1p1", [MANY]),
        ("/dev/sdc1", []),
        ("/dev/mapper/my--vg-root--lv", [VOLUME]),
        ("/dev/my-vg/root-lv", [VOLUME]),
        ("/dev/mapper/secret", [INNER]),
        ("/dev/mapper/loop", []),
        ("/dev/mapper/by-id", []),
        (f"/dev/nvme{'1' * 5000}n1", []),
        ("/dev/md0", [ARRAY]),
        ("/dev/md/root", [ARRAY]),
        (f"/dev/disk/by-id/dm-uuid-{LVM}", [VOLUME]),
        (f"/dev/disk/by-id/dm-uuid-{LVM[:-1]}3", []),
        ("/dev/disk/by-id/dm-name-my--vg-root--lv", [VOLUME]),
        (f"/dev/disk/by-id/dm-uuid-{CRYPT}secret", [INNER]),
        (f"/dev/disk/by-id/dm-uuid-{CRYPT.replace('0', '1')}secret", []),
        ("/dev/disk/by-id/dm-name-secret", [INNER]),
        ("/dev/disk/by-id/md-uuid-00000001:00000002:00000003:0000000a", [ARRAY]),
        ("/dev/disk/by-id/md-name-host:0", [ARRAY]),
        ("/dev/disk/by-id/md-name-host:0-part1", []),
        ("/dev/disk/by-id/ata-QEMU_HARDDISK_1-part2", []),
        ("/dev/../etc/passwd", []),
        ("", []),
        ("a\nb", []),
    ],
)
def test_find(spec: str, found: list[FileSystem]) -> None:
    assert list(DeviceNames(ALL, CRYPTTAB).find(spec)) == found


def test_a_container_that_crypttab_finds_by_its_logical_volume() -> None:
    names = DeviceNames((VOLUME, NESTED, NESTED_INNER), CRYPTTAB)
    assert list(names.find("/dev/mapper/on-lvm")) == [NESTED_INNER]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("/dev/disk/by-id/ata-QEMU_HARDDISK_1-part2", [ROOT]),
        ("/dev/disk/by-path/pci-0000:00:1f.2-ata-1-part1", [ESP]),
        ("/dev/disk/by-id/wwn-0x5000-part9", []),
    ],
)
def test_a_name_by_hardware_means_the_only_disk_there_is(
    spec: str, found: list[FileSystem]
) -> None:
    assert list(DeviceNames((ESP, ROOT)).find(spec)) == found
