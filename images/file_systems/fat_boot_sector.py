"""The boot sector of FAT12, FAT16 and FAT32.

Fields have the names of the specification.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 7 to 16 (BPB, type by
the count of clusters); util-linux 2.38 ``libblkid/src/superblocks/vfat.c`` (sanity checks).
"""

from __future__ import annotations

import struct
from functools import cached_property

SIZE = 512

_BPB = struct.Struct("<HBHBHHBH8xI")
_BPB_FAT32 = struct.Struct("<I4xIHH")
_BS = struct.Struct("<BI11s")
_BYTES_PER_SECTOR = {512, 1024, 2048, 4096}


class BootSector:
    """The fields in the 512 bytes *raw*, and values derived from them; sizes are bytes."""

    BPB_BytsPerSec: int
    BPB_SecPerClus: int
    BPB_RsvdSecCnt: int
    BPB_NumFATs: int
    BPB_RootEntCnt: int
    BPB_TotSec16: int
    BPB_Media: int
    BPB_FATSz16: int
    BPB_TotSec32: int
    #: 0 on FAT12 and FAT16, like the three that follow.
    BPB_FATSz32: int = 0
    BPB_RootClus: int = 0
    BPB_FSInfo: int = 0
    BPB_BkBootSec: int = 0
    BS_BootSig: int
    BS_VolID: int
    BS_VolLab: bytes

    def __init__(self, raw: bytes) -> None:
        (
            self.BPB_BytsPerSec,
            self.BPB_SecPerClus,
            self.BPB_RsvdSecCnt,
            self.BPB_NumFATs,
            self.BPB_RootEntCnt,
            self.BPB_TotSec16,
            self.BPB_Media,
            self.BPB_FATSz16,
            self.BPB_TotSec32,
        ) = _BPB.unpack_from(raw, 11)
        if self.is_fat32:
            self.BPB_FATSz32, self.BPB_RootClus, self.BPB_FSInfo, self.BPB_BkBootSec = (
                _BPB_FAT32.unpack_from(raw, 36)
            )
        self.BS_BootSig, self.BS_VolID, self.BS_VolLab = _BS.unpack_from(
            raw, self.serial_offset - 1
        )

    @property
    def is_fat32(self) -> bool:
        return not self.BPB_FATSz16

    @property
    def serial_offset(self) -> int:
        """The offset of BS_VolID in the sector."""
        return 67 if self.is_fat32 else 39

    @property
    def has_serial(self) -> bool:
        return self.BS_BootSig in {0x28, 0x29}

    @property
    def serial(self) -> int:
        return self.BS_VolID if self.has_serial else 0

    @property
    def label(self) -> str:
        return self.BS_VolLab.decode("cp437") if self.BS_BootSig == 0x29 else ""

    # -- where things are ------------------------------------------------------------------
    @cached_property
    def bits(self) -> int:
        """Bits of an entry in the table: 12, 16 or 32."""
        return 32 if self.is_fat32 else 12 if self.clusters < 4085 else 16

    @cached_property
    def cluster(self) -> int:
        """Bytes of a cluster."""
        return self.BPB_SecPerClus * self.BPB_BytsPerSec

    @cached_property
    def clusters(self) -> int:
        """The number of clusters."""
        return (self.total - self.data_start) // self.cluster

    @cached_property
    def total(self) -> int:
        """Bytes of the volume that belong to the file system."""
        return (self.BPB_TotSec16 or self.BPB_TotSec32) * self.BPB_BytsPerSec

    @property
    def fats(self) -> int:
        return self.BPB_NumFATs

    @cached_property
    def fat_start(self) -> int:
        return self.BPB_RsvdSecCnt * self.BPB_BytsPerSec

    @cached_property
    def fat_size(self) -> int:
        return (self.BPB_FATSz16 or self.BPB_FATSz32) * self.BPB_BytsPerSec

    @cached_property
    def root_start(self) -> int:
        """The offset of the fixed root directory of FAT12 and FAT16."""
        return self.fat_start + self.fats * self.fat_size

    @cached_property
    def root_size(self) -> int:
        """Bytes of the fixed root directory; 0 on FAT32."""
        sector = self.BPB_BytsPerSec
        return (self.BPB_RootEntCnt * 32 + sector - 1) // sector * sector

    @cached_property
    def root_cluster(self) -> int:
        """The first cluster of the root directory on FAT32, else 0."""
        return self.BPB_RootClus & 0x0FFFFFFF

    @cached_property
    def data_start(self) -> int:
        return self.root_start + self.root_size

    @cached_property
    def info(self) -> int:
        """The offset of the FSInfo sector of FAT32; 0 when there is none."""
        sector = self.BPB_FSInfo
        return sector * self.BPB_BytsPerSec if 0 < sector < self.BPB_RsvdSecCnt else 0

    @cached_property
    def backup(self) -> int:
        """The offset of the copy of the boot sector of FAT32; 0 when there is none."""
        sector = self.BPB_BkBootSec
        return sector * self.BPB_BytsPerSec if sector < self.BPB_RsvdSecCnt else 0

    def is_sane(self, volume_size: int) -> bool:
        """Whether the fields are consistent, and fit a volume of *volume_size* bytes."""
        per_cluster = self.BPB_SecPerClus
        if not per_cluster or per_cluster & (per_cluster - 1):
            return False
        if not self.BPB_RsvdSecCnt or not 1 <= self.fats <= 2 or self.BPB_Media < 0xF0:
            return False
        if not self.fat_size or self.clusters < 1 or self.total > volume_size:
            return False
        fits = (self.clusters + 2) * self.bits <= self.fat_size * 8
        return fits and self.is_fat32 == (self.BPB_RootEntCnt == 0)


def parse(raw: bytes) -> BootSector | None:
    """The boot sector in *raw*, the first 512 bytes of a volume; None when it is not of FAT."""
    if len(raw) != SIZE or raw[510:] != b"\x55\xaa":
        return None
    found = BootSector(raw)
    return found if found.BPB_BytsPerSec in _BYTES_PER_SECTOR else None


def parse_sane(raw: bytes, volume_size: int) -> BootSector | None:
    """As :func:`parse`; also None when it does not fit a volume of *volume_size* bytes."""
    found = parse(raw)
    return found if found and raw[0] in {0xEB, 0xE9} and found.is_sane(volume_size) else None
