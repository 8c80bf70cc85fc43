"""What the GRUB of a guest reads, told from its programs.

GRUB refuses an ext file system with a feature that it neither supports nor ignores. The features
that it knows are one number in its code, inverted: ``incompat & ~(SUPPORTED | IGNORED)``.

References: GRUB grub-core/fs/ext2.c (EXT2_DRIVER_SUPPORTED_INCOMPAT, EXT2_DRIVER_IGNORED_INCOMPAT;
"fs/ext2: Ignore checksum seed incompat feature", 2021-06-11, in 2.12; distributions have it in
their 2.06), grub-core/fs/btrfs.c; Linux fs/ext4/super.c (metadata_csum_seed since 4.4),
fs/btrfs/disk-io.c (METADATA_UUID since 5.0).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.guest import Guest

#: The superblock's s_feature_incompat is loaded and tested, or tested where it is (x86).
_TEST = rb"(?:\x60\xa9|\xf7.\x60)"
#: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg: all were known before the seed was.
_KNOWN = 0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200
#: large_dir, encrypt: each came at some time.
_LATER = (0, 0x4000, 0x10000, 0x14000)
_SEED = 0x2000

#: A module, and programs that have the modules in them. Cores in front of a partition are packed:
#: they were made from the modules in /boot.
_PROGRAMS = (
    "/boot/grub/*/ext2.mod",
    "/boot/grub2/*/ext2.mod",
    "{esp}/EFI/*/grub*.efi",
    "{esp}/EFI/*/GRUB*.EFI",
    "{esp}/EFI/BOOT/*.EFI",
    "{esp}/EFI/boot/*.efi",
)
_LIMIT = 16 * 1024 * 1024
_KERNEL = re.compile(r"(\d+)\.(\d+)")


def checksum_seed_obstacle(guest: Guest) -> str:
    """Why ext4's ``metadata_csum_seed`` cannot be switched on in *guest*; "" when it can.

    Raises OSError.
    """
    if older := _kernel_before(guest, (4, 4)):
        return f"its kernel {older} does not know a checksum seed"
    mounts = guest.layout.mounts_in_order
    reads_only_fat = any(m.mount_point == "/boot" and m.type == "vfat" for m in mounts)
    if reads_only_fat:
        return ""
    programs = [
        path
        for pattern in _PROGRAMS
        for esp in [m.mount_point for m in mounts if m.type == "vfat"] or ["/boot/efi"]
        for path in guest.glob(pattern.format(esp=esp))
    ]
    known = [(path, reads_checksum_seed(guest.read(path, _LIMIT))) for path in programs]
    for path, reads in known:
        if reads is False:
            return f"its GRUB ({printable(path)}) does not know a checksum seed"
    if not any(reads for _, reads in known):
        return "no GRUB that knows a checksum seed was found in it"
    return ""


def metadata_uuid_obstacle(guest: Guest) -> str:
    """Why a btrfs of *guest* cannot have another UUID than its metadata; "" when it can.

    GRUB does not compare the two. Raises OSError.
    """
    if all(mount.type != "btrfs" for mount in guest.layout.mounts_in_order):
        return ""
    older = _kernel_before(guest, (5, 0))
    return f"its kernel {older} does not know METADATA_UUID" if older else ""


def _kernel_before(guest: Guest, wanted: tuple[int, int]) -> str:
    """A kernel of *guest* that is older than *wanted*, or ""."""
    for path in (*guest.glob("/lib/modules/*"), *guest.glob("/usr/lib/modules/*")):
        version = _KERNEL.match(path.rpartition("/")[2])
        if version and (int(version[1]), int(version[2])) < wanted:
            return printable(version[0])
    return ""


def reads_checksum_seed(program: bytes) -> bool | None:
    """Whether the GRUB *program* reads ext4 with a checksum seed; None where that is not seen."""
    for seed in (_SEED, 0):
        masks = [~(_KNOWN | later | seed) & 0xFFFFFFFF for later in _LATER]
        numbers = b"|".join(re.escape(mask.to_bytes(4, "little")) for mask in masks)
        if re.search(_TEST + b"(?:" + numbers + b")", program, re.DOTALL):
            return bool(seed)
    return None
