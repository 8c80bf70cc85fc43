"""Members of a RAID1, written without the kernel: mdadm makes arrays only in one.

References: Linux ``include/uapi/linux/raid/md_p.h`` (``struct mdp_superblock_1``); mdadm 4.2
``super1.c`` (the checksum).
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ARRAY_UUID = uuid.UUID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")
_SECTOR = 512
#: Sectors before the data of a member.
_DATA = 2048
_MEMBERS = 2


def write_member(
    path: Path,
    member: int,
    version: str,
    *,
    level: int = 1,
    features: int = 0,
    used: int = 0,
    events: int = 7,
    resync: int = (1 << 64) - 1,
    role: int | None = None,
) -> None:
    """Write the superblock of the member number *member* to the image at *path*.

    The data begins after 1 MiB and leaves as much at the end; the others are fields that differ.
    """
    sectors = path.stat().st_size // _SECTOR
    at = {"1.0": sectors - 16 & ~7, "1.1": 0, "1.2": 8}[version]
    size = used or sectors - 2 * _DATA
    head = struct.pack("<IIII16s32s", 0xA92B4EFC, 1, features, 0, ARRAY_UUID.bytes, b"host:0")
    head += struct.pack("<QiIQIIi", 1_700_000_000, level, 0, size, 0, _MEMBERS, 0)
    head = head.ljust(128, b"\0") + struct.pack("<QQQQ", _DATA, sectors - 2 * _DATA, at, 0)
    head += struct.pack("<II16s", member, 0, uuid.UUID(int=member + 1).bytes)
    head = head.ljust(192, b"\0") + struct.pack("<QQQII", 1_700_000_000, events, resync, 0, 8)
    places = [0, 1, *[0xFFFF] * 6]
    places[member] = member if role is None else role
    raw = bytearray(head.ljust(256, b"\0") + struct.pack("<8H", *places))
    total = sum(struct.unpack(f"<{len(raw) // 4}I", raw))
    struct.pack_into("<I", raw, 216, (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF)
    with path.open("r+b") as file:
        file.seek(at * _SECTOR)
        file.write(raw)
