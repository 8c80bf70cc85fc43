"""XFS version 5 at rest: reading, and overwriting content.

References: "XFS Algorithms & Data Structures", 3rd edition; Linux ``fs/xfs/libxfs/xfs_format.h``,
``xfs_da_format.h``.
"""

from __future__ import annotations

import errno
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number
from unclone.images.crc32c import crc32c
from unclone.images.engines.direct.directory_types import MODES
from unclone.images.engines.direct.in_place.tree import parsed
from unclone.images.errors import EngineError
from unclone.images.file_systems.xfs_uuid import superblock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.engines.direct.driver import StatTuple
    from unclone.images.volumes import Subvolume

_CORE = 176  # bytes of an inode before its forks
_LOCAL, _EXTENTS, _BTREE = 1, 2, 3
_REFLINK, _NREXT64 = 1 << 1, 1 << 4
_REALTIME = 1
_BTREE_HEADER, _DIRECTORY_HEADER, _SYMLINK_HEADER = 72, 64, 56
_ATTRIBUTES, _ATTRIBUTES_COUNT, _ATTRIBUTES_HEADER = b"\x3b\xee", 56, 80
_LOCAL_VALUE, _ROOT, _SECURE, _PARENT, _INCOMPLETE = 0x1, 0x2, 0x4, 0x8, 0x80
_LEAF_OFFSET = 1 << 35  # bytes: where the index of a directory begins
#: Bytes of names that a directory has at most; some hundred thousand files take as much.
_LARGE_DIRECTORY = 32 * 1024 * 1024
#: Blocks with inodes that are kept.
_KEPT = 2000
#: Where checksums are: in inodes, in the blocks of directories and of trees of extents.
_INODE_CHECKSUM, _DIRECTORY_CHECKSUM, _TREE_CHECKSUM = 100, 4, 64


class _Extent(NamedTuple):
    """*blocks* from block *logical* of a fork on, at *physical* of the volume."""

    logical: int
    physical: int
    blocks: int
    unwritten: bool


class _Fork(NamedTuple):
    """Where the content of an inode is, or its extended attributes."""

    format: int
    raw: bytes
    extents: int


class _Inode(NamedTuple):
    number: int
    stat: StatTuple
    data: _Fork
    attributes: _Fork | None
    is_shared: bool
    is_realtime: bool


class Xfs:
    """A :class:`.tree.Format`."""

    def __init__(self, blocks: Blocks) -> None:
        """Raises EngineError."""
        self._blocks = blocks
        raw = superblock(blocks)
        self._block_size, self._dblocks = struct.unpack_from(">IQ", raw, 4)
        (self._root,) = struct.unpack_from(">Q", raw, 56)
        self._group_blocks, self._groups = struct.unpack_from(">II", raw, 84)
        (self._inode_size,) = struct.unpack_from(">H", raw, 104)
        self._inode_bits, self._group_bits = raw[123], raw[124]
        self._directory_block = self._block_size << raw[192]
        self._clusters: dict[int, bytes] = {}

    @parsed
    def root(self, subvolume: str) -> _Inode:
        if subvolume:
            raise EngineError("XFS has no subvolumes")
        return self.node(self._root)

    @parsed
    def subvolumes(self) -> tuple[Sequence[Subvolume], str]:
        return (), ""

    @parsed
    def node(self, inode: int) -> _Inode:
        place = self._linear(inode >> self._inode_bits)
        block = self._clusters.get(place)
        if block is None:
            if len(self._clusters) == _KEPT:
                del self._clusters[next(iter(self._clusters))]
            block = self._clusters[place] = self._block(place)
        at = (inode & ((1 << self._inode_bits) - 1)) * self._inode_size
        raw = block[at : at + self._inode_size]
        if raw[:2] != b"IN" or raw[4] != 3 or raw[152:160] != inode.to_bytes(8):
            raise _damaged(f"inode {inode}")
        _require_checksum(raw, _INODE_CHECKSUM)
        mode, _, form = struct.unpack_from(">HBB", raw, 2)
        uid, gid, links = struct.unpack_from(">III", raw, 8)
        flags2 = number(raw, 120, ">Q")
        large = flags2 & _NREXT64
        (extents,) = (
            struct.unpack_from(">Q", raw, 24) if large else struct.unpack_from(">I", raw, 76)
        )
        end = _CORE + raw[82] * 8 if raw[82] else self._inode_size
        attributes = number(raw, 76, ">I") if large else number(raw, 80, ">H")
        return _Inode(
            inode,
            (mode, uid, gid, number(raw, 56, ">Q"), links),
            _Fork(form, raw[_CORE:end], extents),
            _Fork(raw[83], raw[end:], attributes) if raw[82] else None,
            bool(flags2 & _REFLINK),
            bool(number(raw, 90, ">H") & _REALTIME),
        )

    @parsed
    def entries(self, directory: _Inode) -> Mapping[bytes, tuple[int, int]]:
        if directory.data.format == _LOCAL:
            return dict(_short_entries(directory.data.raw))
        found: dict[bytes, tuple[int, int]] = {}
        size = self._directory_block
        blocks: dict[int, bytearray] = {}
        per_block = size // self._block_size
        for extent in self._extents(directory.data):
            for index in range(extent.blocks):
                logical = extent.logical + index
                if logical * self._block_size >= _LEAF_OFFSET:
                    break
                if len(blocks) * size > _LARGE_DIRECTORY:
                    raise EngineError("a directory is too large to be read here")
                block = blocks.setdefault(logical // per_block, bytearray(size))
                at = logical % per_block * self._block_size
                block[at : at + self._block_size] = self._block(extent.physical + index)
        for index in sorted(blocks):
            found.update(_block_entries(bytes(blocks[index])))
        found.pop(b".", None)
        found.pop(b"..", None)
        return found

    @parsed
    def content(self, node: _Inode, count: int) -> bytes:
        if node.data.format == _LOCAL:
            return node.data.raw[:count]
        if stat.S_ISLNK(node.stat[0]):
            return self._remote_target(node)[:count]
        _require_on_data(node)
        found = bytearray(count)
        for extent in self._extents(node.data):
            start = extent.logical * self._block_size
            length = min(extent.blocks * self._block_size, count - start)
            if length > 0 and not extent.unwritten:
                place = extent.physical * self._block_size
                found[start : start + length] = self._read(place, length)
        return bytes(found)

    @parsed
    def attributes(self, node: _Inode) -> dict[str, bytes]:
        fork = node.attributes
        if fork is None:
            return {}
        if fork.format == _LOCAL:
            return dict(_short_attributes(fork.raw))
        blocks = [
            self._block(extent.physical + index)
            for extent in self._extents(fork)
            for index in range(extent.blocks)
        ]
        leaves = [block for block in blocks if block[8:10] == _ATTRIBUTES]
        return dict(pair for leaf in leaves for pair in _leaf_attributes(leaf))

    @parsed
    def overwrite(self, node: _Inode, old: bytes, new: bytes) -> None:
        _require_on_data(node)
        if node.is_shared:
            raise EngineError(f"inode {node.number} shares blocks with other files")
        if node.data.format == _LOCAL:
            raise _damaged(f"inode {node.number}")
        covered, changed = 0, []
        for extent in self._extents(node.data):
            start = extent.logical * self._block_size
            end = min(start + extent.blocks * self._block_size, len(new))
            if start >= end or extent.unwritten:
                continue
            before, after = old[start:end], new[start:end]
            covered += _differences(before, after)
            if before != after:
                changed.append((extent.physical * self._block_size, after))
        if covered != _differences(old, new):
            raise EngineError(f"a part of inode {node.number} has no blocks")
        for place, content in changed:
            self._blocks.write(place, content)

    # -- helpers ---------------------------------------------------------------------------
    def _linear(self, block: int) -> int:
        group, within = block >> self._group_bits, block & ((1 << self._group_bits) - 1)
        found: int = group * self._group_blocks + within
        if within >= self._group_blocks or found >= self._dblocks:
            raise _damaged("a block number")
        return found

    def _read(self, offset: int, count: int) -> bytes:
        found = self._blocks.read(offset, count)
        if len(found) != count:
            raise _damaged("its end")
        return found

    def _block(self, block: int) -> bytes:
        return self._read(block * self._block_size, self._block_size)

    def _extents(self, fork: _Fork) -> Iterator[_Extent]:
        if fork.format == _EXTENTS:
            yield from self._records(fork.raw, fork.extents)
            return
        if fork.format != _BTREE:
            raise _damaged("the kind of an inode")
        level, count = struct.unpack_from(">HH", fork.raw)
        at = 4 + (len(fork.raw) - 4) // 16 * 8
        pending = [(n, level - 1) for n in struct.unpack_from(f">{count}Q", fork.raw, at)]
        seen = set()
        while pending:
            place, level = pending.pop()
            block = self._block(self._linear(place))
            if block[:4] != b"BMA3" or struct.unpack_from(">H", block, 4)[0] != level or level < 0:
                raise _damaged("a tree of extents")
            if place in seen:
                raise _damaged("a tree of extents")
            seen.add(place)
            _require_checksum(block, _TREE_CHECKSUM)
            (count,) = struct.unpack_from(">H", block, 6)
            if not level:
                yield from self._records(block[_BTREE_HEADER:], count)
                continue
            at = _BTREE_HEADER + (self._block_size - _BTREE_HEADER) // 16 * 8
            pending += [(n, level - 1) for n in struct.unpack_from(f">{count}Q", block, at)]

    def _records(self, raw: bytes, count: int) -> Iterator[_Extent]:
        if count * 16 > len(raw):
            raise _damaged("a list of extents")
        for high, low in struct.iter_unpack(">QQ", raw[: count * 16]):
            logical = (high & (1 << 63) - 1) >> 9
            start = (high & 0x1FF) << 43 | low >> 21
            yield _Extent(logical, self._linear(start), low & 0x1FFFFF, bool(high >> 63))

    def _remote_target(self, node: _Inode) -> bytes:
        found = b""
        for extent in sorted(self._extents(node.data)):
            for index in range(extent.blocks):
                block = self._block(extent.physical + index)
                (length,) = struct.unpack_from(">I", block, 8)
                if block[:4] != b"XSLM":
                    raise _damaged(f"the symlink of inode {node.number}")
                found += block[_SYMLINK_HEADER : _SYMLINK_HEADER + length]
        return found


def _short_entries(raw: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    count, large = raw[0], raw[1]
    width = 8 if large else 4
    at = 2 + width
    for _ in range(count):
        length = raw[at]
        name = raw[at + 3 : at + 3 + length]
        at += 3 + length
        yield name, (int.from_bytes(raw[at + 1 : at + 1 + width]), MODES.get(raw[at], 0))
        at += 1 + width


def _block_entries(raw: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    end = len(raw)
    if raw[:4] == b"XDB3":
        (count,) = struct.unpack_from(">I", raw, end - 8)
        end -= 8 + count * 8
    elif raw[:4] != b"XDD3":
        raise _damaged("a directory")
    _require_checksum(raw, _DIRECTORY_CHECKSUM)
    at = _DIRECTORY_HEADER
    while at < end:
        tag, length = struct.unpack_from(">HH", raw, at)
        if tag == 0xFFFF:
            if not length:
                raise _damaged("a directory")
            at += length
            continue
        inode, length = struct.unpack_from(">QB", raw, at)
        name, kind = raw[at + 9 : at + 9 + length], raw[at + 9 + length]
        yield name, (inode, MODES.get(kind, 0))
        at += -(-(12 + length) // 8) * 8


def _short_attributes(raw: bytes) -> Iterator[tuple[str, bytes]]:
    at = 4
    for _ in range(raw[2]):
        length, size, flags = raw[at : at + 3]
        name = raw[at + 3 : at + 3 + length]
        at += 3 + length
        if not flags & _PARENT:
            yield _attribute(name, flags), raw[at : at + size]
        at += size


def _leaf_attributes(block: bytes) -> Iterator[tuple[str, bytes]]:
    (count,) = struct.unpack_from(">H", block, _ATTRIBUTES_COUNT)
    for index in range(count):
        place, flags = struct.unpack_from(">HB", block, _ATTRIBUTES_HEADER + 8 * index + 4)
        if flags & (_PARENT | _INCOMPLETE):
            continue
        if flags & _LOCAL_VALUE:
            size, length = struct.unpack_from(">HB", block, place)
            name = block[place + 3 : place + 3 + length]
            yield _attribute(name, flags), block[place + 3 + length :][:size]
        else:
            name = block[place + 9 : place + 9 + block[place + 8]]
            raise EngineError(f"the extended attribute {name!r} is in blocks of its own")


def _attribute(name: bytes, flags: int) -> str:
    space = "security" if flags & _SECURE else "trusted" if flags & _ROOT else "user"
    return f"{space}.{name.decode('utf-8', 'surrogateescape')}"


def _require_on_data(node: _Inode) -> None:
    if node.is_realtime:
        raise EngineError(f"inode {node.number} is on a realtime section")


def _differences(before: bytes, after: bytes) -> int:
    if before == after:
        return 0
    return sum(a != b for a, b in zip(before, after, strict=True))


def _require_checksum(raw: bytes, at: int) -> None:
    """Raise OSError unless the CRC-32C of *raw*, which is at *at*, is right."""
    covered = raw[:at] + bytes(4) + raw[at + 4 :]
    if number(raw, at, "<I") != crc32c(0xFFFFFFFF, covered) ^ 0xFFFFFFFF:
        raise _damaged("a checksum")


def _damaged(what: str) -> OSError:
    return OSError(errno.EIO, f"the file system is damaged: {what}")
