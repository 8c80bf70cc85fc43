"""exFAT: the serial is in the boot sector of both boot regions, each with a checksum.

References: Microsoft "exFAT file system specification", 3.1 (boot sector), 3.4 (boot checksum),
7.3 (volume label); exfatprogs 1.2 fsck.exfat(8).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError
from unclone.images.file_systems.file_system_type import Checker, FileSystemType, Signature
from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

_MAGIC = b"EXFAT   "
_SERIAL = 100
_SHIFT = 108  # BytesPerSectorShift
#: Sectors of a boot region before the one that repeats their checksum.
_SECTORS = 11
#: The type of a directory entry.
_VOLUME_LABEL = 0x83
#: VolumeFlags and PercentInUse, which are not in the checksum.
_LEFT_OUT = {106, 107, 112}


def read(blocks: Blocks) -> str:
    """The serial, as ``XXXX-XXXX``; "" when there is none."""
    raw = read_exactly(blocks, 0, 512)
    if raw[3:11] != _MAGIC:
        return ""
    serial = number(raw, _SERIAL, "<I")
    return f"{serial >> 16:04X}-{serial & 0xFFFF:04X}" if serial else ""


def unsettable(blocks: Blocks) -> str:
    """Why the serial has to stay; "" when it can be set."""
    raw = read_exactly(blocks, 0, 512)
    if raw[3:11] != _MAGIC or not 9 <= raw[_SHIFT] <= 12:
        return "there is no exFAT on it"
    for region, name in enumerate(("boot region", "copy of its boot region")):
        if not _sound(_region(blocks, region)):
            return f"the {name} is damaged (fsck.exfat)"
    return ""


def write(blocks: Blocks, value: str) -> None:
    """Set the serial to a value of the form ``XXXX-XXXX``. Raises EngineError."""
    if why := unsettable(blocks):
        raise EngineError(why)
    for region in (1, 0):
        raw = bytearray(_region(blocks, region))
        sector = len(raw) // (_SECTORS + 1)
        struct.pack_into("<I", raw, _SERIAL, int(value.replace("-", ""), 16))
        checksum = struct.pack("<I", _checksum(raw[: _SECTORS * sector])) * (sector // 4)
        blocks.write(region * len(raw) + _SERIAL, bytes(raw[_SERIAL : _SERIAL + 4]))
        blocks.write(region * len(raw) + _SECTORS * sector, checksum)


def _label(blocks: Blocks) -> str:
    """The volume label, an entry of the root directory, whose first cluster is read."""
    raw = read_exactly(blocks, 0, 512)
    if raw[3:11] != _MAGIC or not 9 <= raw[_SHIFT] <= 12 or raw[_SHIFT] + raw[_SHIFT + 1] > 25:
        return ""
    heap, root = number(raw, 88, "<I"), number(raw, 96, "<I")
    cluster = 1 << raw[_SHIFT] + raw[_SHIFT + 1]
    directory = blocks.read((heap << raw[_SHIFT]) + (root - 2) * cluster, cluster)
    for at in range(0, len(directory) - 31, 32):
        if directory[at] == _VOLUME_LABEL:
            name = directory[at + 2 : at + 2 + 2 * min(directory[at + 1], 11)]
            return name.decode("utf-16-le", "replace")
    return ""


def _region(blocks: Blocks, index: int) -> bytes:
    size = (_SECTORS + 1) << blocks.read(_SHIFT, 1)[0]
    return read_exactly(blocks, index * size, size)


def _sound(raw: bytes) -> bool:
    sector = len(raw) // (_SECTORS + 1)
    body, stored = raw[: _SECTORS * sector], raw[_SECTORS * sector :]
    return bool(raw) and stored == struct.pack("<I", _checksum(body)) * (sector // 4)


def _checksum(body: bytes | bytearray) -> int:
    value = 0
    for offset, byte in enumerate(body):
        if offset not in _LEFT_OUT:
            value = ((value >> 1 | value << 31) + byte) & 0xFFFFFFFF
    return value


TYPE = FileSystemType(
    ("exfat",),
    (Signature(3, _MAGIC),),
    identifier=IdentifierKind.VFAT_SERIAL,
    read=read,
    unsettable=unsettable,
    write=write,
    label=_label,
    checker=Checker(("fsck.exfat", "-n"), ("fsck.exfat", "-p"), repaired=(0, 1)),
)
