"""The boot sector of a FAT file system: where things are.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 7 to 16 (BPB, type by
the count of clusters); util-linux 2.38 ``libblkid/src/superblocks/vfat.c`` (sanity checks).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_BPB = struct.Struct("<HBHBHHBH4xII")
_SIZES = {512, 1024, 2048, 4096}


class Boot(NamedTuple):
    """Offsets and sizes in bytes from the start of the volume."""

    bits: int  # 12, 16 or 32
    sector: int
    cluster: int
    clusters: int
    fat_start: int
    fat_size: int
    fats: int
    #: The fixed root directory of FAT12 and FAT16; size 0 on FAT32.
    root_start: int
    root_size: int
    #: The first cluster of the root directory on FAT32, else 0.
    root_cluster: int
    data_start: int
    serial: int
    label: str
    #: The FSInfo sector of FAT32, else 0.
    info: int


def parse(raw: bytes, volume_size: int) -> Boot | None:
    """Read the boot sector *raw* of a volume of *volume_size* bytes; None when it is not FAT."""
    if len(raw) < 512 or raw[510:512] != b"\x55\xaa" or raw[0] not in {0xEB, 0xE9}:
        return None
    (sector, per_cluster, reserved, fats, root_entries, small, media, fat_small, _, large) = (
        _BPB.unpack_from(raw, 11)
    )
    if sector not in _SIZES or not per_cluster or per_cluster & (per_cluster - 1):
        return None
    if not reserved or not 1 <= fats <= 2 or media < 0xF0:
        return None
    fat_sectors = fat_small or struct.unpack_from("<I", raw, 36)[0]
    root_size = (root_entries * 32 + sector - 1) // sector * sector
    root_start = (reserved + fats * fat_sectors) * sector
    data_start = root_start + root_size
    total = (small or large) * sector
    clusters = (total - data_start) // (per_cluster * sector)
    if not fat_sectors or clusters < 1 or total > volume_size:
        return None
    bits = 32 if not fat_small else 12 if clusters < 4085 else 16
    if (bits == 32) != (root_entries == 0) or (clusters + 2) * bits > fat_sectors * sector * 8:
        return None
    extended = 66 if bits == 32 else 38
    has_serial = raw[extended] in {0x28, 0x29}
    has_label = raw[extended] == 0x29
    info = struct.unpack_from("<H", raw, 48)[0] if bits == 32 else 0
    return Boot(
        bits=bits,
        sector=sector,
        cluster=per_cluster * sector,
        clusters=clusters,
        fat_start=reserved * sector,
        fat_size=fat_sectors * sector,
        fats=fats,
        root_start=root_start,
        root_size=root_size,
        root_cluster=struct.unpack_from("<I", raw, 44)[0] & 0x0FFFFFFF if bits == 32 else 0,
        data_start=data_start,
        serial=struct.unpack_from("<I", raw, extended + 1)[0] if has_serial else 0,
        label=raw[extended + 5 : extended + 16].decode("cp437") if has_label else "",
        info=info * sector if 0 < info < reserved else 0,
    )
