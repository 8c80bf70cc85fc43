"""The trees of a btrfs on one device: items by key, and where each block is.

References: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html; Linux
``include/uapi/linux/btrfs_tree.h``.
"""

from __future__ import annotations

import errno
import struct
from bisect import bisect_left, bisect_right
from operator import ge
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError
from unclone.images.file_systems.btrfs_uuid import is_sound, sealed, superblock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.blocks import Blocks

#: Object, type, offset.
Key: TypeAlias = tuple[int, int, int]

_KEY = struct.Struct("<QBQ")
_ITEM, _POINTER, _HEADER = 25, 33, 101
_BYTE_NUMBER, _ITEMS, _LEVEL = 48, 96, 100
_LEVELS = 8
_CHUNK_ITEM, _CHUNK, _STRIPE = 228, 48, 32
_ARRAY, _ARRAY_SIZE = 0x32B, 0xA0
_PROFILES, _DUP = 0x7F8, 1 << 5
ROOT_TREE = 1
#: Blocks of trees that are kept.
_KEPT = 400
LAST = 2**64 - 1


class Item(NamedTuple):
    """An item, and where its data is: *start* bytes into the block at the address *node*."""

    key: Key
    data: bytes
    node: int
    start: int


class _Node(NamedTuple):
    raw: bytes
    level: int
    keys: list[Key]


class _Chunk(NamedTuple):
    start: int
    length: int
    places: tuple[int, ...]


class Trees:
    """The trees on *blocks*. Raises EngineError, or OSError for damage."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        raw = superblock(blocks)
        self.sector: int = number(raw, 0x90, "<I")
        self._node_size: int = number(raw, 0x94, "<I")
        self._nodes: dict[int, _Node] = {}
        self._chunks: list[_Chunk] = []
        at, end = _ARRAY, _ARRAY + number(raw, _ARRAY_SIZE, "<I")
        while at < end:
            key = _KEY.unpack_from(raw, at)
            stripes = number(raw, at + _KEY.size + 44, "<H")
            length = _CHUNK + _STRIPE * stripes
            at += _KEY.size
            self._chunks.append(_chunk(key, raw[at : at + length]))
            at += length
        chunks = self.items(number(raw, 0x58, "<Q"), (0, 0, 0), (LAST, 255, LAST))
        self._chunks = [_chunk(i.key, i.data) for i in chunks if i.key[1] == _CHUNK_ITEM]
        self.root: int = number(raw, 0x50, "<Q")

    def items(self, root: int, first: Key, last: Key) -> Iterator[Item]:
        """The items from *first* to *last* of the tree whose root is at the address *root*."""
        # The first key of each block is that of what points to it: none is there twice.
        pending: list[tuple[int, int, Key | None]] = [(root, _LEVELS, None)]
        while pending:
            address, above, key = pending.pop()
            node = self._node(address)
            if node.level >= above or (key is not None and node.keys[:1] != [key]):
                raise damaged("a tree")
            low = bisect_left(node.keys, first)
            high = bisect_right(node.keys, last)
            if node.level:
                low = max(bisect_right(node.keys, first) - 1, 0)
                for index in reversed(range(low, high)):
                    at = _HEADER + _POINTER * index + _KEY.size
                    pending.append((number(node.raw, at, "<Q"), node.level, node.keys[index]))
                continue
            for index in range(low, high):
                offset, size = struct.unpack_from(
                    "<II", node.raw, _HEADER + _ITEM * index + _KEY.size
                )
                start = _HEADER + offset
                data = node.raw[start : start + size]
                if len(data) != size:
                    raise damaged("an item")
                yield Item(node.keys[index], data, address, start)

    def one(self, root: int, first: Key, last: Key | None = None) -> Item | None:
        """The first item from *first* to *last* (only *first* without that)."""
        return next(self.items(root, first, last or first), None)

    def places(self, address: int, count: int) -> Sequence[int]:
        """Where the *count* bytes at *address* are on the device, each copy."""
        for chunk in self._chunks:
            if chunk.start <= address and address + count <= chunk.start + chunk.length:
                return [place + address - chunk.start for place in chunk.places]
        raise damaged(f"the address {address}")

    def read(self, address: int, count: int) -> bytes:
        """*count* bytes at *address*, of which all copies are equal."""
        copies = {read_exactly(self._blocks, p, count) for p in self.places(address, count)}
        if len(copies) != 1 or copies == {b""}:
            raise damaged("two copies differ")
        return copies.pop()

    def write(self, address: int, content: bytes) -> None:
        """Write *content*, which is not of a tree, to each copy."""
        for place in self.places(address, len(content)):
            self._blocks.write(place, content)

    def patch(self, address: int, start: int, content: bytes) -> None:
        """Replace what is *start* bytes into the block of a tree at *address*."""
        raw = self._node(address).raw
        changed = sealed(raw[:start] + content + raw[start + len(content) :])
        self.write(address, changed)
        self._nodes.pop(address, None)

    def _node(self, address: int) -> _Node:
        found = self._nodes.get(address)
        if found is None:
            raw = self.read(address, self._node_size)
            if not is_sound(raw) or number(raw, _BYTE_NUMBER, "<Q") != address:
                raise damaged("a block of a tree")
            level, count = raw[_LEVEL], number(raw, _ITEMS, "<I")
            step = _POINTER if level else _ITEM
            if _HEADER + count * step > len(raw):
                raise damaged("a block of a tree")
            keys = [_KEY.unpack_from(raw, _HEADER + step * index) for index in range(count)]
            if any(map(ge, keys, keys[1:])):
                raise damaged("a block of a tree")
            if len(self._nodes) == _KEPT:
                del self._nodes[next(iter(self._nodes))]
            found = self._nodes[address] = _Node(raw, level, keys)
        return found


def _chunk(key: Key, data: bytes) -> _Chunk:
    length = number(data, 0, "<Q")
    if number(data, 24, "<Q") & _PROFILES not in {0, _DUP}:
        raise EngineError("the btrfs is striped over devices")
    stripes = range(number(data, 44, "<H"))
    places = tuple(number(data, _CHUNK + _STRIPE * index + 8, "<Q") for index in stripes)
    return _Chunk(key[2], length, places)


def damaged(what: str) -> OSError:
    """The error for a structure that is not as it has to be."""
    return OSError(errno.EIO, f"the file system is damaged: {what}")
