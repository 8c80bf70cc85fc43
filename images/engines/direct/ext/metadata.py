"""Where an ext file system keeps what a check reads: everything but the contents of files.

Nothing is checked here. What looks wrong is left out or raises :class:`UnusualError`; e2fsck, on
the disk itself, finds and reports it.

References: Linux ``Documentation/filesystems/ext4/`` (super.rst, group_descr.rst, inodes.rst,
ifork.rst, blockmap.rst); e2fsprogs 1.47 ``e2fsck/pass1.c``, ``e2fsck/super.c`` (what is read).
"""

from __future__ import annotations

import stat
import struct

from unclone.images.engines.direct.ext.flags import EXTENTS, INLINE_DATA
from unclone.images.file_systems import ext_superblock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: *count* bytes at *offset* of the file system.
    Read = Callable[[int, int], bytes]

#: With one of these, parts of inode tables may never have been written.
_LAZY = ext_superblock.RO_COMPAT_GDT_CSUM | ext_superblock.RO_COMPAT_METADATA_CSUM
_INODE_UNINIT = 1
_EXTENT_MAGIC, _DEEPEST = 0xF30A, 5
_FAST_SYMLINK = 60
_RESIZE, _JOURNAL = 7, 8
#: The last of the inodes that have a purpose of their own, in the oldest file systems.
_FIRST = 10
_KIND, _REGULAR = 0xF000, stat.S_IFREG
_MAPPED = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, 0}
#: User and group quota; the project's is named by the superblock.
_QUOTA = (3, 4)
_EXTENT = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIH")
#: Bytes of inode tables that are read at once.
_PIECE = 1 << 20
#: Places; with more, a copy would take too long.
_MANY = 1 << 18


class UnusualError(Exception):
    """Something that this module does not support."""


class Metadata:
    """The places in the file system that *read* shows; offsets and sizes are bytes."""

    def __init__(self, read: Read) -> None:
        self._read = read
        found = ext_superblock.parse(read(ext_superblock.OFFSET, ext_superblock.SIZE))
        if found is None or not found.is_sane:
            raise UnusualError
        self._superblock = found
        self.block = found.block_size
        self._count = found.blocks_count
        self._descriptor = found.descriptor_size
        self._first = found.s_first_data_block
        self._per_group = found.s_blocks_per_group
        self._inodes = found.s_inodes_per_group
        self._inode = found.inode_size
        sane = self._descriptor in {32, 64} and self._inode in {128, 256, 512, 1024}
        if found.s_feature_incompat & ext_superblock.INCOMPAT_META_BG or not sane:
            raise UnusualError
        if not self._per_group or not self._inodes or self._count <= self._first:
            raise UnusualError
        self._groups = found.group_count
        #: Inodes of the file system itself whose contents matter as well.
        self._own = {_RESIZE, *_QUOTA, found.s_prj_quota_inum, found.s_orphan_file_inum}
        self._tables: list[tuple[int, int, int]] = []

    @property
    def size(self) -> int:
        """Bytes of the whole file system."""
        return self._count * self.block

    def places(self) -> Iterator[tuple[int, int]]:
        """Offset and length of everything; in no order, and some of it twice.

        Raises UnusualError when there is no end to it.
        """
        for number, place in enumerate(self._places()):
            if number > _MANY:
                raise UnusualError
            yield place

    # -- helpers ---------------------------------------------------------------------------
    def _places(self) -> Iterator[tuple[int, int]]:
        table = (self._first + 1) * self.block
        descriptors = self._read(table, self._groups * self._descriptor)
        reserved = self._superblock.s_reserved_gdt_blocks * self.block
        yield 0, table + -(-len(descriptors) // self.block) * self.block + reserved
        for group in self._superblock.backup_groups:
            yield self._place(self._first + group * self._per_group), self.block
        for group in range(self._groups):
            yield from self._of_group(group, descriptors)
        for start, size, first in self._tables:
            yield start, size
            for block in self._of_inodes(self._read(start, size), first):
                yield self._place(block), self.block

    def _of_group(self, group: int, descriptors: bytes) -> Iterator[tuple[int, int]]:
        at = group * self._descriptor
        blocks, inodes, table = struct.unpack_from("<III", descriptors, at)
        flags, unused = struct.unpack_from("<H8xH", descriptors, at + 0x12)
        if self._descriptor == 64:
            high = struct.unpack_from("<III", descriptors, at + 0x20)
            blocks, inodes = blocks | high[0] << 32, inodes | high[1] << 32
            table |= high[2] << 32
            unused |= _u16(descriptors, at + 0x32) << 16
        yield self._place(blocks), self.block
        yield self._place(inodes), self.block
        used = self._inodes
        if self._superblock.s_feature_ro_compat & _LAZY:
            used = 0 if flags & _INODE_UNINIT else self._inodes - min(unused, self._inodes)
        per_piece = _PIECE // self._inode
        for skipped in range(0, used, per_piece):
            count = min(per_piece, used - skipped)
            start = self._place(table) + skipped * self._inode
            self._tables.append((start, count * self._inode, group * self._inodes + skipped + 1))

    def _of_inodes(self, table: bytes, first: int) -> Iterator[int]:
        """The blocks that the inodes in *table* keep structures in; *first* is its first inode."""
        # mode, size, links, flags, block area with the depth of its tree, attribute block
        form = struct.Struct(f"<H2xI18xH4xI4x60s4xI10xH{self._inode - 120}x")
        inodes = enumerate(form.iter_unpack(table), start=first)
        for number, (mode, size, links, flags, area, low, high) in inodes:
            kind = mode & _KIND
            simple = kind == _REGULAR and flags & EXTENTS and not area[6] | low | high
            if simple and number > _FIRST and number not in self._own:
                continue  # most are files whose extents are all in the inode
            if not links and number not in self._own:
                continue
            if low or high:
                yield low | high << 32
            if flags & INLINE_DATA or kind not in _MAPPED:
                continue
            if kind == stat.S_IFLNK and size < _FAST_SYMLINK:
                continue
            whole = kind in {stat.S_IFDIR, stat.S_IFLNK} or number in self._own
            most = 1 if number == _JOURNAL else self._count if whole else 0
            yield from self._of_area(area, most, mapped=bool(flags & EXTENTS))

    def _of_area(self, area: bytes, most: int, *, mapped: bool) -> Iterator[int]:
        """The blocks that map what *area* leads to, and the first *most* of those mapped."""
        if mapped:
            if most or area[6] or area[7]:
                yield from self._extents(area, most, _DEEPEST)
            return
        pointers = struct.unpack("<15I", area)
        yield from [block for block in pointers[:12] if block][:most]
        for level, block in enumerate(pointers[12:], start=1):
            yield from self._indirect(block, level, most)

    def _extents(self, node: bytes, most: int, deepest: int) -> Iterator[int]:
        magic, entries, _, depth = struct.unpack_from("<HHHH", node)
        if magic != _EXTENT_MAGIC or depth > deepest or 12 + 12 * entries > len(node):
            raise UnusualError
        for at in range(12, 12 + 12 * entries, 12):
            if depth:
                _, low, high = _INDEX.unpack_from(node, at)
                block = low | high << 32
                yield block
                below = self._read(self._place(block), self.block)
                yield from self._extents(below, most, depth - 1)
            elif most:
                _, length, high, low = _EXTENT.unpack_from(node, at)
                start = low | high << 32
                length = length if length <= 32768 else length - 32768
                yield from range(start, start + min(length, most))

    def _indirect(self, block: int, level: int, most: int) -> Iterator[int]:
        if not block:
            return
        yield block
        if level == 1 and not most:
            return
        pointers = struct.unpack(f"<{self.block // 4}I", self._read(self._place(block), self.block))
        for below in filter(None, pointers):
            if level == 1:
                yield below
            else:
                yield from self._indirect(below, level - 1, most)

    def _place(self, block: int) -> int:
        if not 0 < block < self._count and not (block == self._first == 0):
            raise UnusualError
        return block * self.block


def _u16(raw: bytes, offset: int) -> int:
    return int.from_bytes(raw[offset : offset + 2], "little")
