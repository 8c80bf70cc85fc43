"""FAT12, FAT16, FAT32: the serial is in the boot sector and, on FAT32, in its copy.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 9 to 13 and 22
(BS_BootSig, BS_VolID, BPB_BkBootSec).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError
from unclone.images.identifiers.blocks import number, read_exactly

if TYPE_CHECKING:
    from unclone.images.identifiers.blocks import Blocks

_SECTORS = {512, 1024, 2048, 4096}


def read(blocks: Blocks) -> str:
    """The serial, as ``XXXX-XXXX``; "" when there is none."""
    raw = read_exactly(blocks, 0, 512)
    if unsettable(blocks):
        return ""
    serial = number(raw, _offset(raw), "<I")
    return f"{serial >> 16:04X}-{serial & 0xFFFF:04X}" if serial else ""


def unsettable(blocks: Blocks) -> str:
    """Why the serial has to stay; "" when it can be set."""
    raw = read_exactly(blocks, 0, 512)
    if raw[510:] != b"\x55\xaa" or number(raw, 11, "<H") not in _SECTORS:
        return "there is no FAT file system on it"
    if raw[_offset(raw) - 1] not in {0x28, 0x29}:
        return "its boot sector is of a form that has no serial"
    return ""


def write(blocks: Blocks, value: str) -> None:
    """Set the serial, to a value of the form ``XXXX-XXXX``."""
    if why := unsettable(blocks):
        raise EngineError(why)
    raw = read_exactly(blocks, 0, 512)
    serial = struct.pack("<I", int(value.replace("-", ""), 16))
    copy = number(raw, 50, "<H") * number(raw, 11, "<H") if _is_fat32(raw) else 0
    if copy and copy < number(raw, 14, "<H") * number(raw, 11, "<H"):  # within what is reserved
        there = read_exactly(blocks, copy, 512)
        # The copy of this boot sector, and not something else at its place.
        if there[510:] == b"\x55\xaa" and there[11:36] == raw[11:36]:
            blocks.write(copy + _offset(raw), serial)
    blocks.write(_offset(raw), serial)


def _is_fat32(raw: bytes) -> bool:
    return not number(raw, 22, "<H")  # BPB_FATSz16


def _offset(raw: bytes) -> int:
    return 67 if _is_fat32(raw) else 39
