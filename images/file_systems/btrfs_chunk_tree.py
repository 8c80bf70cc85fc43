"""The chunk tree of a btrfs: which part of the device is which part of its address space.

The tree is small: a leaf of 16 KiB describes about a hundred gigabytes.

References: Linux ``include/uapi/linux/btrfs_tree.h`` (``btrfs_super_block``, ``btrfs_header``,
``btrfs_chunk``, ``btrfs_stripe``);
https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number, read_exactly
from unclone.images.crc32c import crc32c
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unclone.images.blocks import Blocks

    Checksum = Callable[[bytes], bytes]

SUPERBLOCKS = (0x10000, 0x4000000, 0x4000000000)
SUPERBLOCK_SIZE = 4096
_CHECKSUM_SIZE = 32
# Offsets in the superblock.
_CHUNK_ROOT, _NODE_SIZE, _ARRAY_SIZE, _CHECKSUM_TYPE, _ARRAY = 88, 148, 160, 196, 811
_ARRAY_LIMIT = 2048
#: The generation of a cache of free space in files, and its values without one.
_CACHE_GENERATION, _NO_CACHE = 0x22B, {0, 2**64 - 1}
# Offsets and sizes in a node header, a chunk and a stripe.
BYTE_NUMBER, HEADER, KEY = 48, 101, 17
_ITEMS, _LEVEL, _ITEM, _POINTER = 96, 100, 25, 33
CHUNK, STRIPES_IN_CHUNK, STRIPE = 48, 44, 32
CHUNK_KEY = 228
#: Types of chunks: system, metadata.
_HAS_METADATA = 0x2 | 0x4
#: Profile bits; without one (single), and with DUP, each stripe is a whole copy.
_PROFILES, _DUP = 0x7F8, 1 << 5
#: Levels of the tree; nodes of it, which describe some hundred terabytes; bytes of one.
_LEVELS, _MOST, _NODE_SIZES = 8, 4000, {4096 << n for n in range(5)}
NOT_UNDERSTOOD = "its chunk tree is not understood"

_CHECKSUMS: dict[int, Checksum] = {
    0: lambda data: struct.pack("<I", crc32c(0xFFFFFFFF, data) ^ 0xFFFFFFFF),
    2: lambda data: hashlib.sha256(data).digest(),
    3: lambda data: hashlib.blake2b(data, digest_size=32).digest(),
}


class _Chunk(NamedTuple):
    start: int
    length: int
    places: tuple[int, ...]  # byte offset of each copy on the device

    def holds(self, logical: int) -> bool:
        return self.start <= logical < self.start + self.length


def checksum_of(raw: bytes) -> Checksum:
    """The checksum that the superblock *raw* names. Raises EngineError for an unknown one."""
    kind = number(raw, _CHECKSUM_TYPE, "<H")
    if kind not in _CHECKSUMS:
        raise EngineError(f"its checksums are of a kind that is not known here ({kind})")
    return _CHECKSUMS[kind]


def sealed(raw: bytearray, checksum: Checksum) -> bytes:
    """The block *raw* with its checksum."""
    seal = checksum(bytes(raw[_CHECKSUM_SIZE:]))
    return bytes(seal + raw[len(seal) :])


def metadata(blocks: Blocks) -> Iterable[tuple[int, int]] | None:
    """Offset and size of the areas with metadata; None when they are not known."""
    raw = read_exactly(blocks, SUPERBLOCKS[0], SUPERBLOCK_SIZE)
    if not raw or number(raw, _CACHE_GENERATION, "<Q") not in _NO_CACHE:
        return None  # free space is cached in files, which the checker reads
    areas = [(0, SUPERBLOCKS[0]), *((at, SUPERBLOCK_SIZE) for at in SUPERBLOCKS)]
    try:
        for node, _, keys in leaves(blocks, raw, checksum_of(raw)):
            for at in keys:
                place = HEADER + number(node, at + KEY, "<I")
                if node[at + 8] == CHUNK_KEY and number(node, place + 24, "<Q") & _HAS_METADATA:
                    stripes = range(number(node, place + STRIPES_IN_CHUNK, "<H"))
                    length = number(node, place, "<Q")
                    first = place + CHUNK + 8
                    starts = [number(node, first + STRIPE * n, "<Q") for n in stripes]
                    areas += [(start, length) for start in starts]
    except (EngineError, struct.error):
        return None
    return areas


def leaves(
    blocks: Blocks, raw: bytes, checksum: Checksum
) -> Iterator[tuple[bytes, list[int], list[int]]]:
    """Each leaf of the chunk tree of the superblock *raw*: content, places, offsets of its keys."""
    size = number(raw, _NODE_SIZE, "<I")
    chunks = [_chunk(raw, at) for at in chunks_in_array(raw)]
    pending = [(number(raw, _CHUNK_ROOT, "<Q"), _LEVELS)]
    nodes = 0
    while pending:
        logical, above = pending.pop()
        nodes += 1
        if size not in _NODE_SIZES or nodes > _MOST:
            raise EngineError(NOT_UNDERSTOOD)
        node, places = _node(blocks, chunks, logical, size, checksum)
        level, count = node[_LEVEL], number(node, _ITEMS, "<I")
        step = _POINTER if level else _ITEM
        if level >= above or HEADER + count * step > size:
            raise EngineError(NOT_UNDERSTOOD)
        keys = [HEADER + step * index for index in range(count)]
        if level:
            pending += [(number(node, at + KEY, "<Q"), level) for at in keys]
        else:
            yield node, places, keys


def chunks_in_array(raw: bytes) -> Iterator[int]:
    """The offset of each system chunk in the superblock *raw*."""
    at, end = _ARRAY, _ARRAY + min(number(raw, _ARRAY_SIZE, "<I"), _ARRAY_LIMIT)
    while at + KEY + CHUNK <= end:
        stripes = number(raw, at + KEY + STRIPES_IN_CHUNK, "<H")
        yield at + KEY
        at += KEY + CHUNK + STRIPE * stripes


def _chunk(raw: bytes, at: int) -> _Chunk:
    profile = number(raw, at + 24, "<Q") & _PROFILES
    if profile not in {0, _DUP}:
        raise EngineError("its chunk tree is striped over devices")
    stripes = range(number(raw, at + STRIPES_IN_CHUNK, "<H"))
    places = tuple(number(raw, at + CHUNK + STRIPE * index + 8, "<Q") for index in stripes)
    return _Chunk(number(raw, at - 8, "<Q"), number(raw, at, "<Q"), places)


def _node(
    blocks: Blocks, chunks: list[_Chunk], logical: int, size: int, checksum: Checksum
) -> tuple[bytes, list[int]]:
    """The node at the address *logical*, and the byte offset of each copy on the device."""
    chunk = next((chunk for chunk in chunks if chunk.holds(logical)), None)
    places = [place + logical - chunk.start for place in chunk.places] if chunk else []
    copies = {read_exactly(blocks, place, size) for place in places}
    node = copies.pop() if len(copies) == 1 else b""
    if (
        not node
        or not node.startswith(checksum(node[_CHECKSUM_SIZE:]))
        or number(node, BYTE_NUMBER, "<Q") != logical
    ):
        raise EngineError("its chunk tree is damaged, or its copies differ")
    return node, places
