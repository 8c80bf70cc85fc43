"""Partition tables: where each partition is, and the identifiers of table and partitions.

References: UEFI 2.10, chapter 5 (GPT header and entries, CRC32 over both); "Master boot record" as
in UEFI 2.10, 5.2.1, with the disk signature at 440; logical partitions as Linux
``block/partitions/msdos.c`` reads them. Sectors are 512 bytes, as in every virtual machine by
default; a GPT may be for sectors of 4096 bytes, as the place of its header shows.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.blocks import Blocks

SECTOR = 512
#: Bytes; the sector sizes that a GPT may have.
_GPT_SECTORS = (512, 4096)
#: Offsets in the MBR.
_DISK_ID, _ENTRIES, _SIGNATURE = 440, 446, 510
_EXTENDED = {0x05, 0x0F, 0x85}
_PROTECTIVE = 0xEE
#: Logical partitions, as in Linux; more are a loop.
_MANY = 128

_GPT_MAGIC = b"EFI PART"
_GPT_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
#: Bytes; a larger table is invalid. The specification's is 16 KiB.
_GPT_TABLE_LIMIT = 1024 * 1024


class Partition(NamedTuple):
    """One partition; offsets and sizes are bytes. ``uuid`` is spelled as by blkid."""

    number: int
    start: int
    size: int
    uuid: str
    name: str = ""
    #: Whether it is an extended partition.
    extended: bool = False
    #: In a GPT: the GUID of its type, and its attribute bits.
    type: str = ""
    attributes: int = 0


class Table(NamedTuple):
    """A partition table: ``kind`` is the blkid name, ``gpt`` or ``dos``."""

    kind: str
    id: str
    partitions: tuple[Partition, ...]


def read_table(disk: Blocks) -> Table | None:
    """The partition table of *disk*; None when it has none."""
    mbr = disk.read(0, SECTOR)
    if len(mbr) < SECTOR or mbr[_SIGNATURE:] != b"\x55\xaa":
        return None
    types = [mbr[_ENTRIES + 16 * n + 4] for n in range(4)]
    if _PROTECTIVE in types:
        for header in _gpt_headers(disk):
            partitions = tuple(_gpt_partitions(header, disk))
            return Table("gpt", str(uuid.UUID(bytes_le=header.guid)), partitions)
    flags = {mbr[_ENTRIES + 16 * n] for n in range(4)}
    if flags - {0, 0x80} or not any(types):
        return None  # the boot sector of a file system, which has the same signature
    number = struct.unpack_from("<I", mbr, _DISK_ID)[0]
    disk_id = f"{number:08x}" if number else ""
    return Table("dos", disk_id, tuple(_mbr_partitions(disk, mbr, disk_id)))


def set_gpt_guid(disk: Blocks, value: uuid.UUID, *, partition: int = 0) -> None:
    """Set the GUID of *partition*, or of the disk itself when 0, in both copies of the table.

    Both are written from the first valid copy. A damaged copy is written again, because it has the
    old GUIDs. Raises EngineError, with nothing written, where that is not possible.
    """
    headers = list(_gpt_headers(disk))
    if not headers:
        raise EngineError("there is no valid GPT to hold a GUID")
    source = headers[0]
    table = bytearray(source.table(disk))
    guid = source.guid
    if partition:
        at = (partition - 1) * source.entry_size
        if not any(table[at : at + 16]):
            raise EngineError(f"there is no partition {partition}")
        table[at + 16 : at + 32] = value.bytes_le
    else:
        guid = value.bytes_le
    for copy in list(_gpt_copies(disk, headers)):
        disk.write(copy.table_start, bytes(table))
        disk.write(copy.start, copy.packed(guid, zlib.crc32(table)))


def set_mbr_id(disk: Blocks, value: int) -> None:
    """Set the disk signature of an MBR."""
    disk.write(_DISK_ID, struct.pack("<I", value))


class _Header(NamedTuple):
    raw: bytes  # the header, without the rest of its sector
    sector: int  # bytes
    own: int
    guid: bytes
    table_at: int
    entries: int
    entry_size: int

    @property
    def start(self) -> int:
        return self.own * self.sector

    @property
    def table_start(self) -> int:
        return self.table_at * self.sector

    @property
    def table_sectors(self) -> int:
        return -(-self.entries * self.entry_size // self.sector)

    @property
    def alternate(self) -> int:
        """The sector in which the other copy's header is."""
        return int(struct.unpack_from("<Q", self.raw, 32)[0])

    @property
    def usable(self) -> tuple[int, int]:
        """The first and the last sector that a partition may have."""
        first, last = struct.unpack_from("<QQ", self.raw, 40)
        return first, last

    def table(self, disk: Blocks) -> bytes:
        return disk.read(self.table_start, self.entries * self.entry_size)

    def packed(self, guid: bytes, table_crc: int) -> bytes:
        raw = bytearray(self.raw)
        raw[56:72] = guid
        struct.pack_into("<I", raw, 88, table_crc)
        struct.pack_into("<I", raw, 16, 0)
        struct.pack_into("<I", raw, 16, zlib.crc32(raw))
        return bytes(raw)

    def copy(self, own: int, table_at: int) -> _Header:
        """The header of the other copy, in sector *own*."""
        raw = bytearray(self.raw)
        struct.pack_into("<QQ", raw, 24, own, self.own)
        struct.pack_into("<Q", raw, 72, table_at)
        return self._replace(raw=bytes(raw), own=own, table_at=table_at)


def _gpt_headers(disk: Blocks) -> Sequence[_Header]:
    """The valid headers, primary first."""
    for sector in _GPT_SECTORS:
        primary = _gpt_header(disk, 1, sector)
        last = disk.size // sector - 1
        named = primary.alternate if primary else last
        backup = _gpt_header(disk, named, sector) or _gpt_header(disk, last, sector)
        if backup and backup.own == 1:
            backup = None
        if primary or backup:
            return [header for header in (primary, backup) if header]
    return []


def _gpt_copies(disk: Blocks, headers: Sequence[_Header]) -> Iterator[_Header]:
    """The first valid header, and that of the other copy, valid or to be written again."""
    source = headers[0]
    others = [(header.own, header.table_at) for header in headers[1:]]
    if source.own != 1:
        others.append((1, 2))
    elif not others and (source.alternate + 1) * source.sector <= disk.size:
        others.append((source.alternate, source.alternate - source.table_sectors))
    # A backup beyond the end of a truncated disk does not exist, and has no old GUIDs.
    first, last = source.usable
    for own, table_at in others:
        sectors = {own, table_at, table_at + source.table_sectors - 1}
        if any(first <= one <= last or one < 1 for one in sectors):
            raise EngineError(
                "one copy of the GPT is damaged, and the other one leaves no room to make it again"
            )
    yield source
    for own, table_at in others:
        yield source.copy(own, table_at)


def _gpt_header(disk: Blocks, number: int, sector: int) -> _Header | None:
    if number < 1 or (number + 1) * sector > disk.size:
        return None
    raw = disk.read(number * sector, SECTOR)
    if len(raw) < SECTOR:
        return None
    magic, _, size, crc, _, own, _, _, _, guid, table, entries, entry_size, table_crc = (
        _GPT_HEADER.unpack_from(raw)
    )
    if magic != _GPT_MAGIC or not _GPT_HEADER.size <= size <= SECTOR or own != number:
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        return None
    if entry_size < 128 or entry_size % 8 or not 0 < entries * entry_size <= _GPT_TABLE_LIMIT:
        return None
    if table * sector + entries * entry_size > disk.size:
        return None
    header = _Header(raw[:size], sector, number, guid, table, entries, entry_size)
    return header if zlib.crc32(header.table(disk)) == table_crc else None


def _gpt_partitions(header: _Header, disk: Blocks) -> Iterator[Partition]:
    table = header.table(disk)
    for index in range(header.entries):
        entry = table[index * header.entry_size :][:128]
        first, last, attributes = struct.unpack_from("<QQQ", entry, 32)
        if not any(entry[:16]) or last < first or (last + 1) * header.sector > disk.size:
            continue
        yield Partition(
            number=index + 1,
            start=first * header.sector,
            size=(last - first + 1) * header.sector,
            uuid=str(uuid.UUID(bytes_le=entry[16:32])),
            name=entry[56:128].decode("utf-16-le", "replace").split("\0")[0],
            type=str(uuid.UUID(bytes_le=entry[:16])),
            attributes=attributes,
        )


def _mbr_partitions(disk: Blocks, mbr: bytes, disk_id: str) -> Iterator[Partition]:
    extended = 0
    for number, (kind, first, count) in enumerate(_mbr_entries(mbr), 1):
        if kind and count:
            is_extended = kind in _EXTENDED
            extended = extended or (first if is_extended else 0)
            yield from _mbr_partition(disk, number, first, count, disk_id, extended=is_extended)
    if extended:
        yield from _logical_partitions(disk, extended, disk_id)


def _logical_partitions(disk: Blocks, extended: int, disk_id: str) -> Iterator[Partition]:
    at = extended
    for number in range(5, 5 + _MANY):
        sector = disk.read(at * SECTOR, SECTOR)
        if len(sector) < SECTOR or sector[_SIGNATURE:] != b"\x55\xaa":
            return
        (kind, first, count), (next_kind, next_first, _), *_ = _mbr_entries(sector)
        if not kind or not count:
            return
        yield from _mbr_partition(disk, number, at + first, count, disk_id, extended=False)
        if next_kind not in _EXTENDED or not next_first:
            return
        at = extended + next_first


def _mbr_partition(
    disk: Blocks, number: int, first: int, count: int, disk_id: str, *, extended: bool
) -> Iterator[Partition]:
    if (first + count) * SECTOR <= disk.size and first:
        name = f"{disk_id}-{number:02x}" if disk_id else ""
        yield Partition(number, first * SECTOR, count * SECTOR, name, extended=extended)


def _mbr_entries(sector: bytes) -> list[tuple[int, int, int]]:
    """Type, first sector and number of sectors of the four entries."""
    return [
        (kind, first, count)
        for kind, first, count in struct.iter_unpack("<4xB3xII", sector[_ENTRIES:_SIGNATURE])
    ]
