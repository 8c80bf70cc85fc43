"""FAT12, FAT16, FAT32: the serial is in the boot sector and, on FAT32, in its copy.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 9 to 13 and 22
(BS_BootSig, BS_VolID, BPB_BkBootSec), 22 to 24 (the label is an entry of the root directory);
fsck.fat(8).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unclone.images.blocks import read_exactly
from unclone.images.errors import EngineError
from unclone.images.file_systems import fat_boot_sector
from unclone.images.file_systems.fat_boot_sector import parse, parse_sane
from unclone.images.file_systems.file_system_type import Checker, FileSystemType
from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

# Directory entries: size, first byte of a free one and of the end; attributes.
_ENTRY, _FREE, _END = 32, 0xE5, 0x00
_VOLUME_ID, _DIRECTORY, _LONG_NAME = 0x08, 0x10, 0x0F


def read(blocks: Blocks) -> str:
    """The serial, as ``XXXX-XXXX``; "" when there is none."""
    found = parse(read_exactly(blocks, 0, fat_boot_sector.SIZE))
    serial = found.serial if found else 0
    return f"{serial >> 16:04X}-{serial & 0xFFFF:04X}" if serial else ""


def unsettable(blocks: Blocks) -> str:
    """Why the serial has to stay; "" when it can be set."""
    found = parse(read_exactly(blocks, 0, fat_boot_sector.SIZE))
    if not found:
        return "there is no FAT file system on it"
    return "" if found.has_serial else "its boot sector has no serial"


def write(blocks: Blocks, value: str) -> None:
    """Set the serial to a value of the form ``XXXX-XXXX``. Raises EngineError."""
    raw = read_exactly(blocks, 0, fat_boot_sector.SIZE)
    found = parse(raw)
    if not found or not found.has_serial:
        raise EngineError(unsettable(blocks))
    serial = struct.pack("<I", int(value.replace("-", ""), 16))
    if found.backup:
        there = read_exactly(blocks, found.backup, fat_boot_sector.SIZE)
        # Only a copy of this boot sector, not other content at its place.
        if there[510:] == b"\x55\xaa" and there[11:36] == raw[11:36]:
            blocks.write(found.backup + found.serial_offset, serial)
    blocks.write(found.serial_offset, serial)


def _detect(blocks: Blocks) -> str:
    found = parse_sane(read_exactly(blocks, 0, fat_boot_sector.SIZE), blocks.size)
    return "vfat" if found else ""


def _label(blocks: Blocks) -> str:
    """The label as blkid prints it: the one in the root directory, else the boot sector's."""
    boot = parse_sane(read_exactly(blocks, 0, fat_boot_sector.SIZE), blocks.size)
    if boot is None:
        return ""
    if boot.root_size:
        raw = blocks.read(boot.root_start, boot.root_size)
    else:
        at = boot.data_start + (boot.root_cluster - 2) * boot.cluster
        raw = blocks.read(at, boot.cluster)
    label = boot.label
    for at in range(0, len(raw), _ENTRY):
        entry = raw[at : at + _ENTRY]
        if len(entry) < _ENTRY or entry[0] == _END:
            break
        kind = entry[11] & 0x3F
        if (
            entry[0] != _FREE
            and kind != _LONG_NAME
            and kind & (_VOLUME_ID | _DIRECTORY) == _VOLUME_ID
        ):
            label = entry[:11].decode("cp437")
            break
    label = label.split("\0")[0].rstrip(" ")
    return "" if label == "NO NAME" else label


TYPE = FileSystemType(
    ("vfat",),
    detect=_detect,
    label=_label,
    identifier=IdentifierKind.VFAT_SERIAL,
    read=read,
    unsettable=unsettable,
    write=write,
    # "-a" also clears the dirty flag of a file system that was not unmounted.
    checker=Checker(("fsck.vfat", "-n"), ("fsck.vfat", "-a"), repaired=(0, 1)),
)
