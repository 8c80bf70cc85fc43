"""The UUID of an XFS version 5 that was unmounted.

A new UUID changes the superblocks (one in each allocation group) and the log record that is looked
at when a clean file system is mounted, the last one. All metadata keeps the UUID that it was made
with (``meta_uuid``). Earlier records of the log are not looked at, and stay.

References: Linux ``fs/xfs/libxfs/xfs_format.h``, ``xfs_log_format.h``, ``fs/xfs/xfs_log_recover.c``
(``xlog_find_verify_log_record``, ``xlog_header_check_mount``), ``fs/xfs/xfs_log.c``
(``xlog_cksum``); xfsprogs ``db/sb.c``.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number, read_exactly
from unclone.images.crc32c import crc32c
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.blocks import Blocks

MAGIC, UUID_OFFSET, SECTOR_SIZE_OFFSET, CHECKSUM_OFFSET = b"XFSB", 32, 102, 224
_META_UUID_OFFSET, _INCOMPAT_OFFSET = 248, 216
_FTYPE, _META_UUID, _NEEDS_REPAIR, _KNOWN = 0x1, 0x4, 0x10, 0xFF
#: Features that have to be known for writing: finobt, rmapbt, reflink, inobtcount.
_KNOWN_WRITING = 0xF

_SECTOR = 512
RECORD_MAGIC = b"\xfe\xed\xba\xbe"
RECORD_UUID_OFFSET, RECORD_CHECKSUM_OFFSET = 304, 32
#: Bytes of a record's header that are covered, on 64-bit architectures.
_RECORD_HEADER = 328
_RECORD_CYCLE_BYTES = 32768
#: Sectors of the largest record, with its headers.
_RECORD_SECTORS = 600
_UNMOUNT = 0x20


def unsupported(blocks: Blocks) -> str:
    """Why the file system cannot be opened here once a kernel has unmounted it, or ""."""
    raw = blocks.read(0, _SECTOR)
    if raw[:4] != MAGIC or len(raw) < _SECTOR:
        return "no XFS"
    writing, features = struct.unpack_from(">II", raw, _INCOMPAT_OFFSET - 4)
    if struct.unpack_from(">H", raw, 100)[0] & 0xF != 5:
        return "an XFS without checksums (version 4)"
    if features & _NEEDS_REPAIR or features & ~_KNOWN or not features & _FTYPE:
        return f"an XFS with features that are not supported here ({features:#x})"
    if writing & ~_KNOWN_WRITING:
        return f"an XFS with features that are not supported here ({writing:#x}, for writing)"
    if struct.unpack_from(">Q", raw, 16)[0]:
        return "an XFS with a realtime section"
    if not struct.unpack_from(">Q", raw, 48)[0]:
        return "an XFS with its log on another device"
    return ""


def superblock(blocks: Blocks) -> bytes:
    """Raises EngineError."""
    if why := unsupported(blocks):
        raise EngineError(f"the device holds {why}")
    return blocks.read(0, _SECTOR)


def is_clean(blocks: Blocks) -> bool:
    """Whether it was unmounted, so that its log holds nothing more to do."""
    return _last_record(blocks, superblock(blocks)) is not None


def set_uuid(blocks: Blocks, value: str) -> None:
    """Set the UUID of a clean file system. Raises EngineError."""
    raw = superblock(blocks)
    new, old = uuid.UUID(value).bytes, raw[UUID_OFFSET : UUID_OFFSET + 16]
    block_size = struct.unpack_from(">I", raw, 4)[0]
    group_blocks, groups = struct.unpack_from(">II", raw, 84)
    (sector,) = struct.unpack_from(">H", raw, SECTOR_SIZE_OFFSET)
    record = _last_record(blocks, raw)
    if record is None:
        raise EngineError("the log of the XFS is not clean")
    places = [group * group_blocks * block_size for group in range(groups)]
    copies = [bytearray(blocks.read(place, sector)) for place in places]
    for copy in copies:
        if copy[:4] != MAGIC or copy[UUID_OFFSET : UUID_OFFSET + 16] != old:
            raise EngineError("the superblocks of the XFS differ")
    _set_in_record(blocks, record, new)
    for place, copy in zip(places, copies, strict=True):
        features = struct.unpack_from(">I", copy, _INCOMPAT_OFFSET)[0]
        if not features & _META_UUID:
            struct.pack_into(">I", copy, _INCOMPAT_OFFSET, features | _META_UUID)
            copy[_META_UUID_OFFSET : _META_UUID_OFFSET + 16] = old
        copy[UUID_OFFSET : UUID_OFFSET + 16] = new
        copy[CHECKSUM_OFFSET : CHECKSUM_OFFSET + 4] = bytes(4)
        copy[CHECKSUM_OFFSET : CHECKSUM_OFFSET + 4] = _checksum(copy)
        blocks.write(place, bytes(copy))


def _checksum(data: bytes | bytearray) -> bytes:
    return (crc32c(0xFFFFFFFF, data) ^ 0xFFFFFFFF).to_bytes(4, "little")


class _Record(NamedTuple):
    """A record of the log: *header* is its first sector, *body* the rest that has a checksum."""

    offset: int
    header: bytes
    body: bytes


def _last_record(blocks: Blocks, raw: bytes) -> _Record | None:
    """The record that was written last; None unless it says that the file system is unmounted."""
    (block_size,) = struct.unpack_from(">I", raw, 4)
    group_blocks = struct.unpack_from(">I", raw, 84)[0]
    (start,) = struct.unpack_from(">Q", raw, 48)
    group, within = start >> raw[124], start & ((1 << raw[124]) - 1)
    offset = (group * group_blocks + within) * block_size
    sectors = struct.unpack_from(">I", raw, 96)[0] * block_size // _SECTOR

    def sectors_from(first: int, count: int) -> bytes:
        return read_exactly(blocks, offset + first * _SECTOR, count * _SECTOR)

    # As the kernel looks for it: the log is written round and round, and what was written last is
    # of the cycle of its first sector, up to the first sector of the cycle before.
    cycle = _cycle_of(sectors_from(0, 1))
    low, head = 0, sectors
    while low + 1 < head:
        middle = (low + head) // 2
        if _cycle_of(sectors_from(middle, 1)) == cycle:
            low = middle
        else:
            head = middle
    begin = max(head - _RECORD_SECTORS, 0)
    last = sectors_from(begin, head - begin)
    at = max(_records_in(last, begin, cycle), default=None)
    if at is None:
        return None
    header = last[at * _SECTOR : (at + 1) * _SECTOR]
    headers, length = _sizes(header)
    body_at = at + headers
    end = body_at + -(-length // _SECTOR)
    if struct.unpack_from(">I", header, 40)[0] != 1 or begin + end != head:
        return None
    if not last[body_at * _SECTOR + 9] & _UNMOUNT:
        return None
    body = last[(at + 1) * _SECTOR : body_at * _SECTOR + length]
    return _Record(offset + (begin + at) * _SECTOR, header, body)


def record_length(header: bytes) -> int:
    """The bytes that the checksum of the record with *header* covers."""
    headers, length = _sizes(header)
    return _RECORD_HEADER + (headers - 1) * _SECTOR + length


def _sizes(header: bytes) -> tuple[int, int]:
    """The sectors of a record's header, and the bytes that follow."""
    version, length = struct.unpack_from(">II", header, 8)
    size = number(header, 320, ">I")
    return max(-(-size // _RECORD_CYCLE_BYTES), 1) if version & 2 else 1, length


def _records_in(log: bytes, first: int, cycle: int) -> Iterator[int]:
    """The sectors of *log* with records of *cycle*; it begins at the sector *first* of the log."""
    at = log.find(RECORD_MAGIC)
    while at >= 0:
        own = cycle, first + at // _SECTOR
        if (
            at % _SECTOR == 0
            and number(log, at + 4, ">I") == cycle
            and struct.unpack_from(">II", log, at + 16) == own
        ):
            yield at // _SECTOR
        at = log.find(RECORD_MAGIC, at + 1)


def _cycle_of(sector: bytes) -> int:
    return number(sector, 4 if sector[:4] == RECORD_MAGIC else 0, ">I")


def _set_in_record(blocks: Blocks, record: _Record, new: bytes) -> None:
    header = bytearray(record.header)
    place = slice(RECORD_CHECKSUM_OFFSET, RECORD_CHECKSUM_OFFSET + 4)
    old = bytes(header[place])
    header[place] = bytes(4)
    fits = _checksum(header[:_RECORD_HEADER] + record.body) == old
    header[RECORD_UUID_OFFSET : RECORD_UUID_OFFSET + 16] = new
    if any(old):  # xfsprogs writes none
        if not fits:
            raise EngineError("the last record in the log of the XFS has another checksum")
        header[place] = _checksum(header[:_RECORD_HEADER] + record.body)
    blocks.write(record.offset, bytes(header))
