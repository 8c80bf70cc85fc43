"""Where the metadata of an XFS is: its tools can work on a sparse copy without file contents.

A damaged structure ends the search below it: the areas that are then missing are zeros in the
copy, which ``xfs_repair`` reports. Every walk ends, whatever the file system says: a block of a
tree is visited once, and levels only fall.

References: XFS Algorithms & Data Structures, 3rd edition, "Allocation Groups", "B+trees", "On-disk
Inode"; Linux ``fs/xfs/libxfs/xfs_format.h`` (``xfs_dsb``, ``xfs_agf``, ``xfs_agi``,
``xfs_btree_block``, ``xfs_dinode``, ``xfs_bmbt_rec``, ``xfs_inobt_rec``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number, read_exactly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.blocks import Blocks

Area = tuple[int, int]

#: Sectors at the start of each allocation group: superblock, AGF, AGI, AGFL.
_HEADERS = 4
#: The root inode with the realtime inodes beside it, which are made first.
_FIRST_INODES = 64

_SUPERBLOCK = struct.Struct(">4xIQ32xQQQQ4xIIxxxxIHHH")
# Offsets of: log2 of a block, of an inode, of inodes in a block, of blocks in a group.
_AG_BLOCK_BITS, _INODES_BITS = 124, 123
_QUOTA_INODES = (160, 168, 232)
_FEATURES, _SPARSE_INODES, _NO_INODE = 216, 0x2, 2**64 - 1

# B+trees of a group: offset of the root in the AGF, and bytes of a key; the roots in the AGI.
_TREES_AGF = ((16, 8), (20, 8), (24, 40), (88, 4))
_INODE_ROOT, _FREE_INODE_ROOT, _INODE_KEY = 20, 328, 4
_DEEPEST = 9

# Of an inode.
_DIRECTORY, _SYMLINK, _KIND = 0x4000, 0xA000, 0xF000
_EXTENTS, _TREE = 2, 3
_LARGE_COUNTS = 1 << 4
_CORE = {1: 100, 2: 100, 3: 176}
_EXTENT = struct.Struct(">QQ")
_COUNT_BITS = 21


class _Layout(NamedTuple):
    block: int
    blocks: int
    log_start: int
    root: int
    group_blocks: int
    groups: int
    log_blocks: int
    version: int
    sector: int
    inode: int
    group_bits: int
    inode_bits: int
    sparse: bool
    special: frozenset[int]

    def at(self, fs_block: int) -> int:
        """The byte offset of a block number that has the group in its upper bits."""
        group, block = fs_block >> self.group_bits, fs_block & ((1 << self.group_bits) - 1)
        return self.in_group(group, block)

    def in_group(self, group: int, block: int) -> int:
        return (group * self.group_blocks + block) * self.block


def identifier_areas(blocks: Blocks) -> Iterable[Area] | None:
    """What ``xfs_db`` reads to set the UUID: headers, the first inodes, and the log."""
    layout = _layout(blocks)
    return [*_fixed(layout), _first_inodes(layout)] if layout else None


def metadata(blocks: Blocks) -> Iterable[Area] | None:
    """All metadata; None when the superblock is not understood."""
    layout = _layout(blocks)
    if layout is None:
        return None
    return [*_fixed(layout), _first_inodes(layout), *_Walk(blocks, layout).areas()]


def _layout(blocks: Blocks) -> _Layout | None:
    raw = read_exactly(blocks, 0, 512)
    if not raw.startswith(b"XFSB"):
        return None
    block, count, log, root, *realtime, group_blocks, groups, log_blocks, version, sector, inode = (
        _SUPERBLOCK.unpack_from(raw)
    )
    sane = (
        block in {512 << n for n in range(8)}
        and sector in {512 << n for n in range(7)}
        and inode in {256 << n for n in range(4)}
        and count * block <= blocks.size
        and group_blocks > 0
        and (groups - 1) * group_blocks < count <= groups * group_blocks
        and 0 < raw[_AG_BLOCK_BITS] < 32
    )
    if not sane:
        return None
    special = {number(raw, at, ">Q") for at in _QUOTA_INODES} | set(realtime)
    return _Layout(
        block,
        count,
        log,
        root,
        group_blocks,
        groups,
        log_blocks,
        version & 0xF,
        sector,
        inode,
        raw[_AG_BLOCK_BITS],
        raw[_INODES_BITS],
        version & 0xF == 5 and bool(number(raw, _FEATURES, ">I") & _SPARSE_INODES),
        frozenset(special - {0, _NO_INODE}),
    )


def _fixed(layout: _Layout) -> Iterator[Area]:
    for group in range(layout.groups):
        yield layout.in_group(group, 0), max(_HEADERS * layout.sector, layout.block)
    if layout.log_start:
        yield layout.at(layout.log_start), layout.log_blocks * layout.block


def _first_inodes(layout: _Layout) -> Area:
    return layout.at(layout.root >> layout.inode_bits), _FIRST_INODES * layout.inode


class _Walk:
    """The trees of all groups and the inodes that they lead to."""

    def __init__(self, blocks: Blocks, layout: _Layout) -> None:
        self._blocks, self._layout = blocks, layout
        self._seen: set[int] = set()
        self._short, self._long = (56, 72) if layout.version == 5 else (16, 24)

    def areas(self) -> Iterator[Area]:
        layout = self._layout
        for group in range(layout.groups):
            start = layout.in_group(group, 0)
            raw = read_exactly(self._blocks, start, _HEADERS * layout.sector)
            if not raw:
                continue
            agf, agi = raw[layout.sector :], raw[2 * layout.sector :]
            trees = [(number(agf, at, ">I"), key) for at, key in _TREES_AGF]
            for root, key in (*trees, (number(agi, _FREE_INODE_ROOT, ">I"), _INODE_KEY)):
                yield from (area for _, area in self._nodes(group, root, key, leaves=False))
            root = number(agi, _INODE_ROOT, ">I")
            for leaf, area in self._nodes(group, root, _INODE_KEY, leaves=True):
                yield area
                yield from self._inodes(group, leaf)

    def _nodes(
        self, group: int, root: int, key: int, *, leaves: bool
    ) -> Iterator[tuple[bytes, Area]]:
        """Each block of a tree; the content of a leaf only with *leaves*, else of no block."""
        layout = self._layout
        pending = [(root, _DEEPEST)]
        while pending:
            block, above = pending.pop()
            at = layout.in_group(group, block)
            if not 0 < block < layout.group_blocks or at in self._seen:
                continue
            self._seen.add(at)
            area = at, layout.block
            if above == 0 and not leaves:
                yield b"", area
                continue
            raw = read_exactly(self._blocks, at, layout.block)
            level, count = struct.unpack_from(">HH", raw, 4) if raw else (above, 0)
            most = (layout.block - self._short) // (key + 4)
            if level > above or (level and count > most):
                yield b"", area
                continue
            if level:
                first = self._short + most * key
                pending += [
                    (one, level - 1) for one in struct.unpack_from(f">{count}I", raw, first)
                ]
            yield (raw if not level else b""), area

    # -- inodes ----------------------------------------------------------------------------
    def _inodes(self, group: int, leaf: bytes) -> Iterator[Area]:
        layout = self._layout
        count = number(leaf, 6, ">H") if leaf else 0
        for record in range(min(count, (len(leaf) - self._short) // 16)):
            first, mask, free = struct.unpack_from(">II Q", leaf, self._short + 16 * record)
            holes = mask >> 16 if layout.sparse else 0
            at = layout.in_group(group, 0) + first * layout.inode
            size = 64 * layout.inode
            if at + size > layout.blocks * layout.block:
                continue
            yield at, size
            raw = read_exactly(self._blocks, at, size)
            base = group << (layout.group_bits + layout.inode_bits)
            for index in range(64):
                if raw and not free >> index & 1 and not holes >> index // 4 & 1:
                    inode = raw[index * layout.inode : (index + 1) * layout.inode]
                    yield from self._inode(inode, base | (first + index))

    def _inode(self, raw: bytes, name: int) -> Iterator[Area]:
        core = _CORE.get(raw[4], 0)
        if not raw.startswith(b"IN") or not core:
            return
        kind, offset = number(raw, 2, ">H") & _KIND, raw[82] * 8
        large = raw[4] == 3 and bool(number(raw, 120, ">Q") & _LARGE_COUNTS)
        extents = number(raw, 24, ">Q") if large else number(raw, 76, ">I")
        attributes = number(raw, 76, ">I") if large else number(raw, 80, ">H")
        fork = raw[core : core + offset] if offset else raw[core:]
        content = kind in {_DIRECTORY, _SYMLINK} or name in self._layout.special
        if content or raw[5] == _TREE:
            yield from self._fork(fork, raw[5], extents, content=content)
        if offset:
            yield from self._fork(raw[core + offset :], raw[83], attributes, content=True)

    def _fork(self, fork: bytes, form: int, count: int, *, content: bool) -> Iterator[Area]:
        """The blocks of a fork's tree, and with *content* what its extents refer to."""
        if form == _EXTENTS:
            yield from self._extents(fork, 0, count)
        elif form == _TREE and len(fork) >= 4:
            level, roots = struct.unpack_from(">HH", fork, 0)
            first = 4 + (len(fork) - 4) // 16 * 8
            if not level or level > _DEEPEST or first + 8 * roots > len(fork):
                return
            found = struct.unpack_from(f">{roots}Q", fork, first)
            yield from self._extent_tree(found, level - 1, content=content)

    def _extent_tree(self, roots: tuple[int, ...], level: int, *, content: bool) -> Iterator[Area]:
        layout = self._layout
        pending = [(root, level) for root in roots]
        most = (layout.block - self._long) // 16
        while pending:
            block, above = pending.pop()
            at = layout.at(block)
            if at in self._seen or at + layout.block > self._blocks.size:
                continue
            self._seen.add(at)
            yield at, layout.block
            if not above and not content:
                continue
            raw = read_exactly(self._blocks, at, layout.block)
            found, count = struct.unpack_from(">HH", raw, 4)
            if found != above or count > most:
                continue
            if above:
                first = self._long + most * 8
                pending += [
                    (one, above - 1) for one in struct.unpack_from(f">{count}Q", raw, first)
                ]
            else:
                yield from self._extents(raw, self._long, count)

    def _extents(self, raw: bytes, at: int, count: int) -> Iterator[Area]:
        layout = self._layout
        for index in range(min(count, (len(raw) - at) // 16)):
            high, low = _EXTENT.unpack_from(raw, at + 16 * index)
            start = layout.at((high & 0x1FF) << 43 | low >> _COUNT_BITS)
            yield start, (low & ((1 << _COUNT_BITS) - 1)) * layout.block
