"""Checksums over values of a machine: where each format has one, and what it covers.

A finder is given bytes of a disk, where a value is in them, and where they are on the disk; the
places that it gives are in these bytes.

References: UEFI 2.10, 5.3 (GPT headers); Linux ``Documentation/filesystems/ext4/super.rst``;
LVM2 2.03 ``lib/format_text/layout.h``, ``lib/label/label.h``;
RFC 1952 (gzip: CRC-32 of the content at the end), RFC 1951, 3.2.4 (stored blocks);
:mod:`unclone.images.file_systems.xfs_uuid`, :mod:`unclone.images.file_systems.btrfs_uuid`.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from unclone.images.file_systems import btrfs_uuid, ext_superblock, xfs_uuid
from unclone.sanitize.stamps.stamp import Checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

#: Bytes of a sector of a file that has a checksum, in btrfs; partitions begin with whole ones.
SECTOR = 4096
_LARGEST_NODE = 65536
# In the header of a block of btrfs; an item has its key, offset and length.
_LEAF_HEADER, _LEAF_ITEM, _LEVEL, _REVISION, _MIXED_BACKREFS = 101, 25, 100, 63, 1
#: Both checksums have another start value than zlib's, which cancels out.
_LVM_LABEL, _LVM_AREA, _LVM_LOCATION = b"LABELONE", b"\x20LVM2\x20x[5A%r0N*>", 40
_GPT_MAGIC, _GPT_GUID = b"EFI PART", 56
_GPT_CHECKSUM, _GPT_TABLE_CHECKSUM = 16, 88
_LBA = 512
#: A gzip header as ours are, and the header of a stored block.
_GZIP, _GZIP_HEADER, _STORED_HEADER = b"\x1f\x8b\x08\0", 10, 5


def checksums_in(raw: bytes, origin: int, values: Iterable[tuple[int, int]]) -> Iterator[Checksum]:
    """The checksums in *raw*, the bytes of a disk from *origin* on.

    *values* are the values in it: place in *raw*, and length.
    """
    found = [*_gzip_members(raw), *_lvm_areas(raw)]
    for at, length in values:
        found += [*_btrfs_leaf(raw, at, origin), *_lvm_label(raw, at, origin)]
        if length == 16:  # a binary UUID
            found += [each for find in _FINDERS for each in find(raw, at, origin)]
    for each in found:
        yield each._replace(offset=origin + each.offset, start=origin + each.start)


def sector_checksum(sector: bytes) -> bytes:
    """What the checksum tree of a btrfs has for *sector* of a file."""
    return btrfs_uuid.checksum(sector)


def _ext_superblock(raw: bytes, at: int, _: int) -> Iterator[Checksum]:
    start = at - ext_superblock.UUID_OFFSET
    found = ext_superblock.parse(raw[start : start + ext_superblock.SIZE]) if start >= 0 else None
    if found and found.s_feature_ro_compat & ext_superblock.RO_COMPAT_METADATA_CSUM:
        end = ext_superblock.CHECKSUM_OFFSET
        yield Checksum(start + end, "crc32c", start, end)


def _gpt_header(raw: bytes, at: int, origin: int) -> Iterator[Checksum]:
    start = at - _GPT_GUID
    header = raw[max(start, 0) : start + _LBA]
    if start < 0 or not header.startswith(_GPT_MAGIC) or len(header) < _LBA:
        return
    (size,) = struct.unpack_from("<I", header, 12)
    table, count, entry = struct.unpack_from("<QII", header, 72)
    if _GPT_TABLE_CHECKSUM + 4 <= size <= _LBA:
        place = table * _LBA - origin
        yield Checksum(start + _GPT_TABLE_CHECKSUM, "crc32", place, count * entry)
        yield Checksum(start + _GPT_CHECKSUM, "crc32", start, size)


def _xfs_superblock(raw: bytes, at: int, _: int) -> Iterator[Checksum]:
    start = at - xfs_uuid.UUID_OFFSET
    if start >= 0 and raw.startswith(xfs_uuid.MAGIC, start):
        (size,) = struct.unpack_from(">H", raw, start + xfs_uuid.SECTOR_SIZE_OFFSET)
        yield Checksum(start + xfs_uuid.CHECKSUM_OFFSET, "crc32c", start, size)


def _xfs_log_record(raw: bytes, at: int, _: int) -> Iterator[Checksum]:
    start = at - xfs_uuid.RECORD_UUID_OFFSET
    place = start + xfs_uuid.RECORD_CHECKSUM_OFFSET
    if start >= 0 and raw.startswith(xfs_uuid.RECORD_MAGIC, start) and any(raw[place : place + 4]):
        length = xfs_uuid.record_length(raw[start : start + _LBA])
        yield Checksum(place, "crc32c", start, length)


def _btrfs_superblock(raw: bytes, at: int, _: int) -> Iterator[Checksum]:
    start = at - btrfs_uuid.UUID_OFFSET
    if start >= 0 and raw.startswith(btrfs_uuid.MAGIC, start + btrfs_uuid.MAGIC_OFFSET):
        yield _btrfs_block(start, btrfs_uuid.SUPERBLOCK_SIZE)


def _btrfs_leaf(raw: bytes, at: int, origin: int) -> Iterator[Checksum]:
    """The leaf around *at*: the data of its first item is at its end."""
    first = at - (origin + at) % SECTOR
    for start in range(first, max(first - _LARGEST_NODE, -1), -SECTOR):
        header = raw[start : start + _LEAF_HEADER + _LEAF_ITEM]
        if len(header) < _LEAF_HEADER + _LEAF_ITEM or any(header[4:32]) or header[_LEVEL]:
            continue
        if header[_REVISION] != _MIXED_BACKREFS:
            continue
        offset, length = struct.unpack_from("<II", header, _LEAF_HEADER + _LEAF_ITEM - 8)
        size = _LEAF_HEADER + offset + length
        if size % SECTOR == 0 and at - start < size <= _LARGEST_NODE:
            yield _btrfs_block(start, size)
            return


def _btrfs_block(start: int, size: int) -> Checksum:
    covered = btrfs_uuid.CHECKSUM_SIZE
    return Checksum(start, "crc32c", start + covered, size - covered)


_FINDERS: Sequence[Callable[[bytes, int, int], Iterator[Checksum]]] = (
    _ext_superblock,
    _gpt_header,
    _btrfs_superblock,
    _xfs_superblock,
    _xfs_log_record,
)


def _lvm_label(raw: bytes, at: int, origin: int) -> Iterator[Checksum]:
    start = at - (origin + at) % _LBA
    if start >= 0 and raw.startswith(_LVM_LABEL, start):
        yield Checksum(start + 16, "crc32", start + 20, _LBA - 20)


def _lvm_areas(raw: bytes) -> Iterator[Checksum]:
    """Of each metadata area: the checksum of the current text, and that of the header."""
    at = raw.find(_LVM_AREA)
    while at >= 0:
        start = at - 4
        if start >= 0 and start + _LBA <= len(raw):
            offset, length = struct.unpack_from("<QQ", raw, start + _LVM_LOCATION)
            yield Checksum(start + _LVM_LOCATION + 16, "crc32", start + offset, length)
            yield Checksum(start, "crc32", start + 4, _LBA - 4)
        at = raw.find(_LVM_AREA, at + 1)


def _gzip_members(raw: bytes) -> Iterator[Checksum]:
    """Members whose content is stored in one block: its text is there as it is."""
    at = raw.find(_GZIP)
    while at >= 0:
        member = zlib.decompressobj(wbits=31)
        try:
            content = member.decompress(raw[at:])
        except zlib.error:
            content = b""
        start = at + _GZIP_HEADER + _STORED_HEADER
        if member.eof and raw[start : start + len(content)] == content:
            end = len(raw) - len(member.unused_data) - 8
            if end == start + len(content):
                yield Checksum(end, "crc32", start, len(content))
        at = raw.find(_GZIP, at + 1)
