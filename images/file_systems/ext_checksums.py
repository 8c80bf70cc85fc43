"""Setting the UUID of an ext4 with metadata checksums without computing the checksums again.

Each checksum starts from the UUID. A CRC is linear: how another start value changes it depends only
on the number of bytes that follow. So every checksum is corrected by XOR with a number that is the
same for all structures of its kind; a wrong checksum stays wrong, and a check finds it. Only inode
tables, directories, and the blocks of extents and attributes are read, in large pieces.

File systems with features that are not listed here are left to ``tune2fs``, which computes the
checksums block by block.

``tune2fs`` on a copy of the metadata in memory, as ``direct/ext/checker.py`` makes it, gave the
same file systems but for times in the superblock, which make two runs differ. It needs an
``e2fsck`` first and took twice the CPU time (30,000 files: 0.19 s instead of 0.09 s; 200,000 files:
1.3 s instead of 0.65 s). Its memory grows with the metadata: 320 MiB instead of 24 MiB for 200,000
files, whose copy of 150 MiB exceeds the checker's limit of 64 MiB.

References: Linux ``Documentation/filesystems/ext4/checksums.rst`` (what each covers) and the files
beside it (structures); e2fsprogs 1.47 ``lib/ext2fs/csum.c``, ``orphan.c``.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.crc32c import crc32c
from unclone.images.file_systems import ext, ext_checksum_seed, ext_superblock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.file_systems.ext_superblock import Superblock

#: has_journal, ext_attr, resize_inode, dir_index, sparse_super2, fast_commit, orphan_file
_COMPATIBLE = 0x4 | 0x8 | 0x10 | 0x20 | 0x200 | 0x400 | 0x1000
#: filetype, extent, 64bit, flex_bg, metadata_csum_seed, large_dir, inline_data
_INCOMPATIBLE = 0x2 | 0x40 | 0x80 | 0x200 | 0x2000 | 0x4000 | 0x8000
#: sparse_super, large_file, huge_file, uninit_bg, dir_nlink, extra_isize, metadata_csum
_READ_ONLY = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x400
_CRC32C = 1  # s_checksum_type
#: The start value for the checksum of the superblock and for the seed of all others.
_START = 0xFFFFFFFF

_INODE = struct.Struct("<H24xHxxxxI4xHHHH56xI10xH")  # mode, links, flags, extents, attributes
_DIRECTORY, _FORMAT = 0x4000, 0xF000
_INDEXED, _EXTENTS, _INLINE = 0x1000, 0x80000, 0x10000000
_EXTENT_MAGIC, _DEEPEST = 0xF30A, 5
_INODE_SIZES = {128, 256, 512, 1024}
_INODE_UNINIT, _BLOCK_UNINIT = 1, 2

#: Bytes that are written together: a cluster of the overlay. A part of one takes as much space
#: there, and more time, because the rest is copied.
_UNIT = 65536
_PIECE = 1 << 20
#: Blocks of directories, extents and attributes; with more, too much memory would be needed.
_MANY = 300_000
#: Bytes of the table of block groups: 128 TiB of blocks of 4 KiB.
_TABLE_LIMIT = 64 << 20


class _UnusualError(Exception):
    """Something that this module does not support."""


def can_set_uuid(blocks: Blocks) -> bool:
    """Whether :func:`set_uuid` supports all features of the file system, and it is clean."""
    found = ext.superblock(blocks)
    if found is None:
        return False
    known = not (
        found.s_feature_compat & ~_COMPATIBLE
        or found.s_feature_incompat & ~_INCOMPATIBLE
        or found.s_feature_ro_compat & ~_READ_ONLY
    )
    clean = found.s_state == ext_superblock.VALID_FS and not found.s_last_orphan
    linux = not found.s_creator_os
    has_checksums = found.s_feature_ro_compat & ext_superblock.RO_COMPAT_METADATA_CSUM
    crc32c_used = has_checksums and found.s_checksum_type == _CRC32C
    return bool(known and clean and linux and crc32c_used and _has_good_checksum(found))


def set_uuid(blocks: Blocks, value: str) -> bool:
    """Set the UUID of a clean file system to *value*; return False when tune2fs has to do it.

    Nothing is written before everything has been read.
    """
    found = ext.superblock(blocks) if can_set_uuid(blocks) else None
    if found is None:
        return False
    try:
        change = _Change(blocks, found, uuid.UUID(value).bytes)
        seeded = found.s_feature_incompat & ext_superblock.INCOMPAT_CSUM_SEED
        change.require_backups()
        if not seeded:  # else the checksums do not depend on the UUID
            change.collect()
    except (_UnusualError, struct.error):
        return False
    if not seeded:
        change.write()
    ext_checksum_seed.change_superblocks(blocks, found, change.with_uuid)
    return True


@dataclass
class _Change:
    blocks: Blocks
    superblock: Superblock
    uuid: bytes
    #: By block, the byte offset of a 32-bit checksum and the number to XOR into it.
    patches: dict[int, tuple[int, int]] = field(default_factory=dict)
    #: Offset and size in bytes of the used pieces of inode tables.
    tables: list[tuple[int, int]] = field(default_factory=list)
    #: Blocks of directories, those of directories with an index, and the first ones of these.
    directories: set[int] = field(default_factory=set)
    indexed: set[int] = field(default_factory=set)
    roots: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        found = self.superblock
        self.size = found.block_size
        self.count = found.blocks_count
        self.descriptor = found.descriptor_size
        self.inode = found.inode_size
        self.first = found.s_first_data_block
        self.per_group = found.s_blocks_per_group
        self.inodes = found.s_inodes_per_group
        if self.size > 65536 or self.descriptor not in {32, 64} or self.inode not in _INODE_SIZES:
            raise _UnusualError
        if not 0 < self.per_group <= 8 * self.size or not 0 < self.inodes <= 8 * self.size:
            raise _UnusualError
        if self.count * self.size > self.blocks.size or self.count <= self.first:
            raise _UnusualError
        self.groups = found.group_count
        if self.groups * self.descriptor > _TABLE_LIMIT:
            raise _UnusualError
        different = bytes(a ^ b for a, b in zip(found.s_uuid, self.uuid, strict=True))
        self.seed = crc32c(0, different)  # the difference between the two seeds

    def delta(self, length: int) -> int:
        """The XOR of old and new checksum over *length* bytes."""
        return _after_zeros(self.seed, length)

    # -- looking ---------------------------------------------------------------------------
    def collect(self) -> None:
        self.table_start = (self.first + 1) * self.size
        self.descriptors = self._read(self.table_start, self.groups * self.descriptor)
        has_orphans = self.superblock.s_feature_compat & ext_superblock.COMPAT_ORPHAN_FILE
        orphans = self.superblock.s_orphan_file_inum if has_orphans else 0
        for group in range(self.groups):
            self._collect_group(group, orphans)

    def require_backups(self) -> None:
        """Raise _UnusualError unless every copy of the superblock has its magic."""
        for group in self.superblock.backup_groups:
            at = (self.first + group * self.per_group) * self.size
            if ext_superblock.parse(self._read(at, ext_superblock.SIZE)) is None:
                raise _UnusualError

    def _collect_group(self, group: int, orphans: int) -> None:
        at = group * self.descriptor
        flags, unused = struct.unpack_from("<H8xH", self.descriptors, at + 0x12)
        table = number(self.descriptors, at + 0x8, "<I")
        if self.descriptor == 64:
            unused |= number(self.descriptors, at + 0x32, "<H") << 16
            table |= number(self.descriptors, at + 0x28, "<I") << 32
        if flags & _INODE_UNINIT:
            return
        used = self.inodes - min(unused, self.inodes)
        start, size = self._place(table), used * self.inode
        per_piece = _PIECE // self.inode * self.inode
        for offset in range(0, size, per_piece):
            piece = self._read(start + offset, min(per_piece, size - offset))
            first = group * self.inodes + offset // self.inode + 1
            self._collect_inodes(piece, orphans - first)
            self.tables.append((start + offset, len(piece)))

    def _collect_inodes(self, piece: bytes, orphans: int) -> None:
        """Note the blocks of the inodes in *piece*; *orphans* is the index of the orphan file."""
        for place in range(len(piece) // self.inode):
            at = place * self.inode
            mode, links, flags, magic, entries, _, depth, low, high = _INODE.unpack_from(piece, at)
            if not links:
                continue
            if low or high:
                self._note(low | high << 32, 0x10, self.delta(8 + self.size), shared=True)
            directory = mode & _FORMAT == _DIRECTORY
            if flags & _INLINE:
                continue
            if not flags & _EXTENTS:
                if directory:
                    raise _UnusualError
                continue
            if magic != _EXTENT_MAGIC:
                raise _UnusualError
            if not (depth or directory or place == orphans):
                continue
            for extent in self._extents(piece[at + 0x28 : at + 0x64], entries, depth, _DEEPEST):
                if place == orphans:
                    for _, block in _blocks(*extent):
                        self._note(block, self.size - 4, self.delta(16 + self.size - 8))
                elif directory:
                    self._collect_directory(_blocks(*extent), indexed=bool(flags & _INDEXED))

    def _extents(
        self, node: bytes, entries: int, depth: int, left: int
    ) -> Iterator[tuple[int, int, int]]:
        """First block in the file, first block of the volume, and length of every extent.

        The blocks of the extent tree are noted on the way.
        """
        if depth > left or 12 + 12 * entries > len(node):
            raise _UnusualError
        for index in range(entries):
            if depth:
                logical, low, high = struct.unpack_from("<IIH", node, 12 + 12 * index)
                block = low | high << 32
                below = self._read(self._place(block), self.size)
                magic, count, most, deep = struct.unpack_from("<HHHH", below)
                tail = 12 + 12 * most
                if magic != _EXTENT_MAGIC or deep != depth - 1 or tail + 4 > self.size:
                    raise _UnusualError
                self._note(block, tail, self.delta(8 + tail))
                yield from self._extents(below, count, deep, depth - 1)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, 12 + 12 * index)
                # An unwritten one, which has a larger length, holds nothing yet.
                yield logical, low | high << 32, length if length <= 32768 else 0

    def _collect_directory(self, blocks: Iterator[tuple[int, int]], *, indexed: bool) -> None:
        for logical, block in blocks:
            self.directories.add(block)
            if indexed:
                self.indexed.add(block)
            if not logical and indexed:
                self.roots.add(block)
            self._note(block, self.size - 4, self.delta(8 + self.size - 12))

    def _note(self, block: int, offset: int, delta: int, *, shared: bool = False) -> None:
        """Patch *block*. Only *shared* ones, of attributes, may be noted again."""
        self._place(block)
        known = self.patches.get(block)
        if (known and not (shared and known == (offset, delta))) or len(self.patches) > _MANY:
            raise _UnusualError
        self.patches[block] = offset, delta

    # -- writing ---------------------------------------------------------------------------
    def write(self) -> None:
        for run in self._runs(sorted(self.patches)):
            start = run[0] * self.size // _UNIT * _UNIT
            end = min(-(-(run[-1] + 1) * self.size // _UNIT) * _UNIT, self.count * self.size)
            piece = bytearray(self._read(start, end - start))
            for block in run:
                self._patch(piece, block * self.size - start, block)
            self.blocks.write(start, bytes(piece))
        for start, size in self.tables:
            self.blocks.write(start, self._with_checksums(self.blocks.read(start, size)))
        self._write_groups()

    def _patch(self, piece: bytearray, at: int, block: int) -> None:
        offset, delta = self.patches[block]
        if block in self.indexed and (count := self._index_at(piece, at, block)):
            # A block of a directory index: its checksum covers the entries that are in use.
            limit, used = struct.unpack_from("<HH", piece, at + count)
            if used > limit or count + 8 * limit + 8 > self.size:
                return  # damaged: a check finds it
            offset, delta = count + 8 * limit + 4, self.delta(16 + count + 8 * used)
        elif block in self.directories and not _has_tail(piece[at : at + self.size]):
            return  # damaged, too
        struct.pack_into("<I", piece, at + offset, number(piece, at + offset, "<I") ^ delta)

    def _index_at(self, piece: bytearray, at: int, block: int) -> int:
        """The offset of limit and count in an index block; 0 for any other block."""
        if block in self.roots:
            return 32
        inode, length = struct.unpack_from("<IH", piece, at)
        return 8 if not inode and length == self.size % 65536 else 0

    def _with_checksums(self, table: bytes) -> bytes:
        """The inodes of *table* with changed checksums; inodes of only zeros are unchanged."""
        delta = self.delta(8 + self.inode)
        mask = bytearray(self.inode)
        struct.pack_into("<H", mask, 0x7C, delta & 0xFFFF)
        plain = bytes(mask)
        if self.inode > 128:
            struct.pack_into("<H", mask, 0x82, delta >> 16)
        wide, none = bytes(mask), bytes(self.inode)
        masks = []
        for at in range(0, len(table), self.inode):
            one = table[at : at + self.inode]
            extra = self.inode > 128 and (one[0x80] | one[0x81] << 8) >= 4
            masks.append(none if one == none else wide if extra else plain)
        changed = int.from_bytes(table, "little") ^ int.from_bytes(b"".join(masks), "little")
        return changed.to_bytes(len(table), "little")

    def _write_groups(self) -> None:
        descriptors = self._new_descriptors()
        for group in self.superblock.backup_groups:
            start = (self.first + group * self.per_group) * self.size
            self.blocks.write(start + self.size, descriptors)
        self.blocks.write(self.table_start, descriptors)

    def with_uuid(self, raw: bytearray) -> None:
        """Give the superblock *raw* the new UUID."""
        raw[ext_superblock.UUID_OFFSET : ext_superblock.UUID_OFFSET + 16] = self.uuid

    def _new_descriptors(self) -> bytes:
        table = bytearray(self.descriptors)
        seed = crc32c(_START, self.uuid)
        bitmaps = (
            (0x18, 0x38, _BLOCK_UNINIT, self.delta(self.per_group // 8)),
            (0x1A, 0x3A, _INODE_UNINIT, self.delta(self.inodes // 8)),
        )
        for group in range(self.groups):
            at = group * self.descriptor
            flags = number(table, at + 0x12, "<H")
            for low, high, uninitialised, delta in bitmaps:
                if flags & uninitialised and not number(table, at + low, "<H"):
                    continue  # the bitmap is not initialised, and has no checksum
                _xor16(table, at + low, delta)
                if self.descriptor == 64:
                    _xor16(table, at + high, delta >> 16)
            struct.pack_into("<H", table, at + 0x1E, 0)
            body = struct.pack("<I", group) + table[at : at + self.descriptor]
            struct.pack_into("<H", table, at + 0x1E, crc32c(seed, body) & 0xFFFF)
        return bytes(table)

    # -- helpers ---------------------------------------------------------------------------
    def _runs(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Sorted *numbers* of blocks in runs of about a piece at most; no unit is in two runs."""
        per_unit = _UNIT // self.size
        run: list[int] = []
        for one in numbers:
            unit = one // per_unit
            if (
                run
                and unit != (last := run[-1] // per_unit)
                and (unit > last + 1 or (one - run[0]) * self.size >= _PIECE)
            ):
                yield run
                run = []
            run.append(one)
        if run:
            yield run

    def _place(self, block: int) -> int:
        if not self.first < block < self.count:
            raise _UnusualError
        return block * self.size

    def _read(self, start: int, size: int) -> bytes:
        raw = read_exactly(self.blocks, start, size)
        if len(raw) != size:
            raise _UnusualError
        return raw


def _blocks(logical: int, block: int, length: int) -> Iterator[tuple[int, int]]:
    """Each block of an extent: its number in the file and on the volume."""
    return zip(range(logical, logical + length), range(block, block + length), strict=True)


def _has_good_checksum(superblock: Superblock) -> bool:
    return superblock.s_checksum == ext_checksum_seed.checksum(superblock.raw)


def _has_tail(block: bytes | bytearray) -> bool:
    """Whether a directory block ends in the entry with its checksum."""
    return struct.unpack_from("<IHBB", block, len(block) - 12) == (0, 12, 0, 0xDE)


def _xor16(table: bytearray, at: int, value: int) -> None:
    struct.pack_into("<H", table, at, number(table, at, "<H") ^ value & 0xFFFF)


@lru_cache(maxsize=4096)
def _after_zeros(value: int, count: int) -> int:
    return crc32c(value, bytes(count))
