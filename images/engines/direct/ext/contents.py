"""The content of a file, read in as few pieces as its extents allow.

libext2fs reads block by block. Where a file is mapped by extents and nothing of it was written in
this session, its pieces are where they always were, and are read as such; everything else, and
everything that looks invalid, is left to the library.

References: Linux ``Documentation/filesystems/ext4/ifork.rst`` (extent tree).
"""

from __future__ import annotations

import struct

from unclone.images.engines.direct.ext.flags import EXTENTS, INLINE_DATA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.images.engines.direct.ext.inode import Inode
    from unclone.images.file_systems.ext_superblock import Superblock

    #: *count* bytes at *offset* of the file system, if nothing has changed there.
    Unchanged = Callable[[int, int], bytes | None]
    #: First byte in the file, length, and place in the file system (0: nothing but zeros).
    Run = tuple[int, int, int]

_MAGIC, _DEEPEST = 0xF30A, 5
_HEADER = struct.Struct("<HHHH")
_ENTRY = struct.Struct("<IHHI")  # an extent; of an index: block, low half, high half
#: Blocks of an extent; one that claims more is of that many fewer, and not written yet.
_WRITTEN = 32768
#: Extents of one file; with more, a list of them is no shortcut.
_MANY = 10_000


class _OddError(Exception):
    """Something is invalid, or has changed."""


def runs_of(inode: Inode, superblock: Superblock, unchanged: Unchanged) -> list[Run] | None:
    """Where the content of the file *inode* is, in order; None when libext2fs has to say."""
    if not inode.flags & EXTENTS or inode.flags & INLINE_DATA:
        return None
    try:
        runs = list(_Runs(superblock, unchanged).below(inode.block_area, _DEEPEST))
    except _OddError:
        return None
    ends = [first + length for first, length, _ in runs]
    ordered = all(run[0] >= end for run, end in zip(runs[1:], ends, strict=False))
    return runs if ordered else None


def read_runs(runs: list[Run], start: int, end: int, unchanged: Unchanged) -> bytes | None:
    """Bytes *start* to *end* of a file whose content is in *runs*; None as above."""
    pieces: list[bytes] = []
    at = start
    for first, length, place in runs:
        if first >= end:
            break
        if first + length <= at:
            continue
        if first > at:  # a hole
            pieces.append(bytes(first - at))
            at = first
        count = min(first + length, end) - at
        found = unchanged(place + at - first, count) if place else bytes(count)
        if found is None:
            return None
        pieces.append(found)
        at += count
    if at < end:
        pieces.append(bytes(end - at))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Runs:
    """One walk through the extents of a file; a tree with a loop ends at the limit."""

    def __init__(self, superblock: Superblock, unchanged: Unchanged) -> None:
        self._size, self._blocks = superblock.block_size, superblock.blocks_count
        self._unchanged = unchanged
        self._left = _MANY

    def below(self, node: bytes, deepest: int) -> Iterator[Run]:
        magic, entries, _, depth = _HEADER.unpack_from(node)
        self._left -= 1 + entries
        if magic != _MAGIC or depth > deepest or self._left < 0 or 12 + 12 * entries > len(node):
            raise _OddError
        for at in range(12, 12 + 12 * entries, 12):
            logical, first, second, third = _ENTRY.unpack_from(node, at)
            if depth:
                yield from self._index(first | second << 16 | (third & 0xFFFF) << 32, depth)
                continue
            block = third | second << 32
            length = first if first <= _WRITTEN else first - _WRITTEN
            if not 0 < block <= self._blocks - length:
                raise _OddError
            place = block * self._size if first <= _WRITTEN else 0
            yield logical * self._size, length * self._size, place

    def _index(self, block: int, depth: int) -> Iterator[Run]:
        size = self._size
        node = self._unchanged(block * size, size) if 0 < block < self._blocks else None
        if node is None:
            raise _OddError
        yield from self.below(node, depth - 1)
