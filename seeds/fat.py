"""The seed as a vfat image: one FAT12 volume without a partition table, label ``CIDATA``.

Written here, and not with mkfs.vfat and mcopy, because both take dates and the volume serial from
the clock, and because a seed should need no program to be installed. Everything is derived from the
files and the time stamp. FAT12 alone is enough: its 4,084 clusters of up to 32 KiB hold 127 MiB.

Layout: boot sector, two FATs, root directory, clusters; every file contiguous, in order of name.

References: Microsoft Extensible Firmware Initiative FAT32 File System Specification 1.03 (2000),
"FAT: General Overview of On-Disk Format": boot sector and BPB, FAT12 entries, directory structure,
long file names. Labels are upper case there; cloud-init accepts ``CIDATA`` like ``cidata``.
"""

from __future__ import annotations

import struct
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "CIDATA"
SECTOR = 512
ALIGNMENT = 4096

#: A multiple of 16 entries (one sector) and many more than a seed needs.
_ROOT_ENTRIES = 64
_ENTRY = 32
_MEDIA = 0xF8
_END_OF_FILE = 0xFFF
#: One more and the volume would be FAT16.
_MAX_CLUSTERS = 4084
_MIN_SECTORS = 128  # 64 KiB: there are readers that distrust a volume of a few sectors
#: The allocation table covers what the smallest volume and the alignment add.
_SPARE_CLUSTERS = _MIN_SECTORS + ALIGNMENT // SECTOR
_LARGEST_CLUSTER = 64  # sectors: 32 KiB, the most every reader takes
_LABEL_ATTRIBUTE, _FILE_ATTRIBUTE, _LONG_NAME_ATTRIBUTE = 0x08, 0x20, 0x0F
_LONG_NAME_PART = 13  # characters per entry
#: Programs that boot it read: int 18h, which hands over to the next boot device.
_BOOT_CODE = b"\xcd\x18\xeb\xfe"


@dataclass(frozen=True, slots=True)
class _Geometry:
    cluster: int  # sectors per cluster
    fat_sectors: int
    sectors: int  # of the whole volume

    @property
    def root_start(self) -> int:
        return 1 + 2 * self.fat_sectors

    @property
    def data_start(self) -> int:
        return self.root_start + _ROOT_ENTRIES * _ENTRY // SECTOR


def vfat_image(files: Mapping[str, bytes], timestamp: int) -> bytes:
    """A vfat image with *files* in its root directory, dates set to *timestamp* (Unix time).

    FAT begins in 1980 and ends in 2107; earlier and later stamps become the nearest it can hold.
    Raises :class:`SeedError` when the files do not fit.
    """
    geometry = _geometry(files)
    stamp = _dos_time(timestamp)
    bytes_per_cluster = geometry.cluster * SECTOR
    fat = [0xF00 | _MEDIA, _END_OF_FILE]
    root = bytearray(_directory_entry(LABEL.ljust(11).encode(), _LABEL_ATTRIBUTE, 0, 0, stamp))
    data = bytearray()
    for number, (name, content) in enumerate(sorted(files.items())):
        count = -(-len(content) // bytes_per_cluster)
        first = len(fat) if count else 0
        fat += [*range(first + 1, first + count), _END_OF_FILE] if count else []
        short = _short_name(name, number)
        root += _long_name_entries(name, short)
        root += _directory_entry(short, _FILE_ATTRIBUTE, first, len(content), stamp)
        data += content + bytes(count * bytes_per_cluster - len(content))
    serial = zlib.crc32(b"".join(n.encode() + b"\0" + c for n, c in sorted(files.items())))
    table = _packed(fat).ljust(geometry.fat_sectors * SECTOR, b"\0")
    image = _boot_sector(geometry, serial) + table + table
    image += bytes(root).ljust(_ROOT_ENTRIES * _ENTRY, b"\0") + bytes(data)
    return image.ljust(geometry.sectors * SECTOR, b"\0")


def read_vfat_image(image: bytes) -> dict[str, bytes]:
    """The files in the root of an image this module wrote, by their long names.

    Reads through the allocation table, so that a wrong chain shows. Raises :class:`SeedError` for
    what is not such an image.
    """
    if image[43:54] != LABEL.ljust(11).encode() or image[54:62] != b"FAT12   ":
        raise SeedError(f"not a FAT12 image labelled {LABEL}")
    cluster, fat_sectors = image[13], int.from_bytes(image[22:24], "little")
    fat = image[SECTOR : SECTOR * (1 + fat_sectors)]
    root_at = SECTOR * (1 + 2 * fat_sectors)
    data_at = root_at + _ROOT_ENTRIES * _ENTRY
    found, long_name = {}, ""
    for at in range(root_at, data_at, _ENTRY):
        entry = image[at : at + _ENTRY]
        if entry[11] == _LONG_NAME_ATTRIBUTE:
            part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le", "replace")
            long_name = part.split("\0")[0] + long_name
        elif entry[11] == _FILE_ATTRIBUTE:
            number, size = (
                int.from_bytes(entry[26:28], "little"),
                int.from_bytes(entry[28:], "little"),
            )
            content = bytearray()
            while number and number < 0xFF8 and len(content) < size:
                start = data_at + (number - 2) * cluster * SECTOR
                content += image[start : start + cluster * SECTOR]
                pair = int.from_bytes(fat[number * 3 // 2 : number * 3 // 2 + 2], "little")
                number = pair >> 4 if number % 2 else pair & 0xFFF
            found[long_name] = bytes(content[:size])
            long_name = ""
    return found


def _geometry(files: Mapping[str, bytes]) -> _Geometry:
    """The smallest clusters that are enough, in a volume that ends on :data:`ALIGNMENT`."""
    cluster = 1
    while cluster <= _LARGEST_CLUSTER:
        needed = sum(-(-len(content) // (cluster * SECTOR)) for content in files.values())
        fat_sectors = -(-(needed + _SPARE_CLUSTERS + 2) * 3 // (2 * SECTOR))
        start = _Geometry(cluster, fat_sectors, 0).data_start
        sectors = max(_MIN_SECTORS, start + needed * cluster)
        sectors += -sectors % (ALIGNMENT // SECTOR)
        if (sectors - start) // cluster <= _MAX_CLUSTERS:
            return _Geometry(cluster, fat_sectors, sectors)
        cluster *= 2
    size = sum(map(len, files.values()))
    raise SeedError(
        f"{size:,} bytes do not fit a vfat seed", hint="Use --format iso, or smaller files."
    )


def _boot_sector(geometry: _Geometry, serial: int) -> bytes:
    small = geometry.sectors if geometry.sectors < 0x10000 else 0
    large = 0 if small else geometry.sectors
    sector = b"\xeb\x3c\x90" + b"MSWIN4.1"  # the name the specification recommends
    sector += struct.pack(
        "<HBHBHHBH",
        SECTOR,
        geometry.cluster,
        1,
        2,
        _ROOT_ENTRIES,
        small,
        _MEDIA,
        geometry.fat_sectors,
    )
    sector += struct.pack("<HHII", 32, 2, 0, large)  # sectors per track, heads: unused, plausible
    sector += struct.pack("<BBBI", 0x80, 0, 0x29, serial)
    sector += LABEL.ljust(11).encode() + b"FAT12   " + _BOOT_CODE
    return sector.ljust(510, b"\0") + b"\x55\xaa"


def _packed(fat: list[int]) -> bytes:
    """FAT12: two entries in three bytes, little end first."""
    out = bytearray()
    for at in range(0, len(fat), 2):
        low, high = fat[at], fat[at + 1] if at + 1 < len(fat) else 0
        out += (low | high << 12).to_bytes(3, "little")
    return bytes(out)


def _directory_entry(
    name: bytes, attribute: int, first: int, size: int, stamp: tuple[int, int]
) -> bytes:
    date, clock = stamp
    entry = struct.pack("<11sBBBHHH", name, attribute, 0, 0, clock, date, date)
    return entry + struct.pack("<HHHHI", 0, clock, date, first, size)


def _short_name(name: str, number: int) -> bytes:
    """An 8.3 alias, unique by *number*; every reader prefers the long name."""
    letters = "".join(c for c in name.upper() if c.isalnum())
    return f"{letters[:6]}~{number + 1}".ljust(8)[:8].encode() + b"   "


def _long_name_entries(name: str, short: bytes) -> bytes:
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    parts = [name[at : at + _LONG_NAME_PART] for at in range(0, len(name), _LONG_NAME_PART)]
    entries = bytearray()
    for order in range(len(parts), 0, -1):
        text = parts[order - 1].encode("utf-16-le")
        if len(text) < 2 * _LONG_NAME_PART:
            text = (text + b"\0\0").ljust(2 * _LONG_NAME_PART, b"\xff")
        last = 0x40 if order == len(parts) else 0
        entries += bytes([order | last]) + text[:10]
        entries += bytes([_LONG_NAME_ATTRIBUTE, 0, checksum]) + text[10:22] + b"\0\0" + text[22:]
    return bytes(entries)


def _dos_time(timestamp: int) -> tuple[int, int]:
    """The date and the time of day as FAT stores them."""
    earliest, latest = 315532800, 4354819198  # 1980-01-01 and 2107-12-31 23:59:58
    moment = time.gmtime(min(max(timestamp, earliest), latest))
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return date, moment.tm_hour << 11 | moment.tm_min << 5 | moment.tm_sec // 2
