"""The VHDX headers, region table and metadata.

References: [MS-VHDX] Virtual Hard Disk v2 (VHDX) File Format: 2.2 Header Section, 2.3 Log,
2.6 Metadata Region. All numbers are little endian, GUIDs in their mixed-endian binary form.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from uuid import UUID

from unclone.images.crc32c import crc32c
from unclone.images.formats.header import Format, Header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.formats.header import Source

MAGIC = b"vhdxfile"

_HEADER_OFFSETS = (64 * 1024, 128 * 1024)
_HEADER_SIZE = 4096
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")  # ..., log GUID, versions, log length and offset
_REGIONS_OFFSET = 192 * 1024
_REGIONS = struct.Struct("<4sIII")
_REGION = struct.Struct("<16sQII")
_METADATA = struct.Struct("<8sHH20s")
_ITEM = struct.Struct("<16sIIII")
_MAX_ENTRIES = 2047
_NIL = bytes(16)

_BAT_REGION = UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_METADATA_REGION = UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_FILE_PARAMETERS = UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_VIRTUAL_SIZE = UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_LOGICAL_SECTOR = UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_HAS_PARENT = 2

_MAX_SIZE = 64 * 1024**4
_BLOCKS = range(1024 * 1024, 256 * 1024 * 1024 + 1)


def read_header(source: Source) -> Header:
    """Read and check the headers. Raises RefusedError when they are invalid or not supported."""
    if source.read(0, len(MAGIC), "file identifier") != MAGIC:
        raise source.unsound("it does not begin with the VHDX identifier")
    log_in_use = _log_in_use(source)
    regions = _regions(source)
    items = _metadata(source, regions)
    block, flags = struct.unpack("<II", _item(source, items, _FILE_PARAMETERS, 8))
    (size,) = struct.unpack("<Q", _item(source, items, _VIRTUAL_SIZE, 8))
    (sector,) = struct.unpack("<I", _item(source, items, _LOGICAL_SECTOR, 4))
    if flags & _HAS_PARENT:
        raise source.unsupported("it is a differencing VHDX, which depends on a parent")
    if block not in _BLOCKS or block & (block - 1):
        raise source.unsound(f"its block size is {block} bytes")
    if sector not in {512, 4096}:
        raise source.unsound(f"its sectors are {sector} bytes")
    if not 0 < size <= _MAX_SIZE or size % sector:
        raise source.unsound(f"its virtual size is {size} bytes")
    if regions[_BAT_REGION][1] < -(-size // block) * 8:
        raise source.unsound(f"its virtual size of {size} bytes does not fit its allocation table")
    unclean = "its log has changes that were not yet written" if log_in_use else ""
    return Header(Format.VHDX, virtual_size=size, cluster_size=block, unclean=unclean)


def _log_in_use(source: Source) -> bool:
    current: tuple[int, bool] | None = None
    for offset in _HEADER_OFFSETS:
        raw = source.read(offset, _HEADER_SIZE, "header")
        magic, checksum, sequence, _, _, log, _, version, length, at = _HEADER.unpack_from(raw)
        if magic != b"head" or checksum != _checksum(raw[:4] + bytes(4) + raw[8:]):
            continue
        if version != 1:
            raise source.unsound(f"its version is {version}")
        if current is None or sequence > current[0]:
            source.require(at, length, "log")
            current = sequence, log != _NIL
    if current is None:
        raise source.unsound("neither of its two headers is valid")
    return current[1]


def _regions(source: Source) -> Mapping[bytes, tuple[int, int]]:
    magic, _, count, _ = _REGIONS.unpack(source.read(_REGIONS_OFFSET, 16, "region table"))
    if magic != b"regi" or count > _MAX_ENTRIES:
        raise source.unsound("its region table is not valid")
    raw = source.read(_REGIONS_OFFSET + 16, count * _REGION.size, "region table")
    found = {kind: (offset, length) for kind, offset, length, _ in _REGION.iter_unpack(raw)}
    if not {_BAT_REGION, _METADATA_REGION} <= found.keys():
        raise source.unsound("it has no metadata or no allocation table")
    for offset, length in found.values():
        source.require(offset, length, "region")
    return found


def _metadata(
    source: Source, regions: Mapping[bytes, tuple[int, int]]
) -> Mapping[bytes, tuple[int, int]]:
    base, size = regions[_METADATA_REGION]
    magic, _, count, _ = _METADATA.unpack(source.read(base, _METADATA.size, "metadata"))
    if magic != b"metadata" or count > _MAX_ENTRIES:
        raise source.unsound("its metadata table is not valid")
    raw = source.read(base + _METADATA.size, count * _ITEM.size, "metadata")
    found = {}
    for kind, offset, length, _, _ in _ITEM.iter_unpack(raw):
        if offset + length > size:
            raise source.unsound("one of its metadata items lies outside the metadata")
        found[kind] = base + offset, length
    return found


def _item(
    source: Source, items: Mapping[bytes, tuple[int, int]], kind: bytes, length: int
) -> bytes:
    offset, found = items.get(kind, (0, 0))
    if found != length:
        raise source.unsound("its metadata lacks the block, sector or virtual size")
    return source.read(offset, length, "metadata item")


def _checksum(data: bytes) -> int:
    return crc32c(0xFFFF_FFFF, data) ^ 0xFFFF_FFFF
