"""What is on a partition, by its signature, in blkid's words; and whether it is within reach.

References: util-linux 2.38 ``libblkid/src/superblocks/*.c`` (magics and their offsets); Linux
``include/linux/swap.h`` (swap header); Microsoft "FAT: General Overview of On-Disk Format" 1.03.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.engines.direct import superblock
from unclone.images.engines.direct.vfat.boot import parse as parse_boot
from unclone.images.engines.direct.vfat.directory import volume_label
from unclone.images.identifiers import devices as identified

if TYPE_CHECKING:
    from unclone.images.engines.direct.block_file import BlockFile
    from unclone.images.engines.direct.superblock import Superblock

#: Bytes: enough for every signature at the start of a volume.
_HEAD = 0x11000

#: (offset, magic, blkid's word) of what this engine can name and cannot open.
_FOREIGN = (
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"EXFAT   ", "exfat"),
    (3, b"ReFS\0", "ReFS"),
    (0, b"XFSB", "xfs"),
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0x18, b"LVM2 001", "LVM2_member"),
    (0x218, b"LVM2 001", "LVM2_member"),
    (0x418, b"LVM2 001", "LVM2_member"),
    (0x618, b"LVM2 001", "LVM2_member"),
    (0, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x8000, b"JFS1", "jfs"),
    (0x10034, b"ReIsEr", "reiserfs"),
    (0x2034, b"ReIsEr", "reiserfs"),
    (0x406, b"\x34\x34", "nilfs2"),
    (0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcachefs"),
    (0x1018, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "bcachefs"),
    (0x1018, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x82", "bcache"),
    (0, b"hsqs", "squashfs"),
    (0x400, b"\xe2\xe1\xf5\xe0", "erofs"),
    (0x8001, b"CD001", "iso9660"),
    (0x200, b"!Stra0tis\x86\xff\x02^A\rh", "stratis"),
    (0, b"dmvdo001", "vdo"),
    (0, b"verity\0\0", "DM_verity_hash"),
    (0, b"integrt\0", "DM_integrity"),
)
_SWAP_PAGES = (4096, 8192, 16384, 32768, 65536)
#: Offsets in the swap header.
_SWAP_LABEL, _SWAP_VERSION = 1052, 1024
_RAID_MAGIC = struct.pack("<I", 0xA92B4EFC)

#: The type of what has no signature.
UNKNOWN = "unknown"


class Content(NamedTuple):
    """What a partition holds; ``type`` is blkid's word, :data:`UNKNOWN` when it has none."""

    type: str = UNKNOWN
    uuid: str = ""
    label: str = ""
    ext: Superblock | None = None
    #: Why it is out of this engine's reach; "" when it is not.
    beyond: str = ""

    @property
    def says_clean(self) -> bool:
        """Whether it is an ext file system that a mount would take as it is."""
        return self.ext is not None and not self.ext.unclean


def probe(volume: BlockFile) -> Content:
    """Find out what *volume* holds."""
    head = volume.read(0, _HEAD)
    if foreign := _foreign(volume, head):
        beyond = f"{foreign}, which only a kernel can open"
        return Content(foreign, identified.read(foreign, volume), beyond=beyond)
    if ext := superblock.parse(head[superblock.OFFSET :][: superblock.SIZE]):
        return Content(ext.type, ext.uuid, ext.label, ext, ext.unsupported(volume.size))
    if swap := _swap(head, identified.read("swap", volume)):
        return swap
    if boot := parse_boot(head[:512], volume.size):
        serial = f"{boot.serial >> 16:04X}-{boot.serial & 0xFFFF:04X}" if boot.serial else ""
        return Content("vfat", serial, volume_label(volume, boot))
    return Content()


def _foreign(volume: BlockFile, head: bytes) -> str:
    for offset, magic, name in _FOREIGN:
        if head.startswith(magic, offset):
            return name
    # Version 0.90 and 1.0 of MD keep their superblock near the end.
    for offset in ((volume.size & ~0xFFFF) - 0x10000, (volume.size & ~0xFFF) - 0x2000):
        if offset > 0 and volume.read(offset, 4) == _RAID_MAGIC:
            return "linux_raid_member"
    return ""


def _swap(head: bytes, uuid: str) -> Content | None:
    for page in _SWAP_PAGES:
        magic = head[page - 10 : page]
        if magic == b"SWAPSPACE2" and head[_SWAP_VERSION : _SWAP_VERSION + 4] in {
            b"\x01\0\0\0",
            b"\0\0\0\x01",
        }:
            label = head[_SWAP_LABEL : _SWAP_LABEL + 16].split(b"\0")[0]
            return Content(
                "swap",
                uuid,
                label.decode("utf-8", "surrogateescape"),
            )
        if magic in {b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"}:
            return Content("swsuspend", uuid, beyond="a hibernated system")
    return None
