"""The UUID of the device that a btrfs is on, which blkid calls ``UUID_SUB``. No tool sets it.

It is in every superblock, in the chunk tree (in the device item, and in every stripe), and in the
system chunks that are copied into the superblocks. Each block has a checksum. The chunk tree is
small: a leaf of 16 KiB describes about a hundred gigabytes.

References: Linux ``include/uapi/linux/btrfs_tree.h`` (``btrfs_super_block``, ``btrfs_header``,
``btrfs_dev_item``, ``btrfs_chunk``, ``btrfs_stripe``), ``fs/btrfs/volumes.c`` (``read_one_chunk``
looks a device up by its id and this UUID); https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number, read_exactly
from unclone.images.crc32c import crc32c
from unclone.images.errors import EngineError
from unclone.images.file_systems import btrfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.images.blocks import Blocks

_SUPERBLOCKS = (0x10000, 0x4000000, 0x4000000000)
_SUPERBLOCK_SIZE = 4096
_CHECKSUM_SIZE = 32
# Offsets in the superblock.
_CHUNK_ROOT, _NODE_SIZE, _ARRAY_SIZE, _CHECKSUM_TYPE, _DEVICE, _ARRAY = 88, 148, 160, 196, 201, 811
_ARRAY_LIMIT = 2048
# Offsets and sizes in a node header, a device item, a chunk and a stripe.
_BYTE_NUMBER, _ITEMS, _LEVEL, _HEADER = 48, 96, 100, 101
_UUID_IN_DEVICE = 66
_CHUNK, _STRIPES_IN_CHUNK, _STRIPE, _UUID_IN_STRIPE = 48, 44, 32, 16
_KEY, _ITEM, _POINTER = 17, 25, 33
_DEVICE_KEY, _CHUNK_KEY = 216, 228
#: Profile bits; without one (single), and with DUP, each stripe is a whole copy.
_PROFILES, _DUP = 0x7F8, 1 << 5
#: Levels of the tree; nodes of it, which describe some hundred terabytes; bytes of one.
_LEVELS, _MOST, _NODE_SIZES = 8, 4000, {4096 << n for n in range(5)}
_NOT_UNDERSTOOD = "its chunk tree is not understood"

_CHECKSUMS: dict[int, Callable[[bytes], bytes]] = {
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


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is no btrfs."""
    raw = read_exactly(blocks, _SUPERBLOCKS[0], _SUPERBLOCK_SIZE)
    at = _DEVICE + _UUID_IN_DEVICE
    return str(uuid.UUID(bytes=raw[at : at + 16])) if btrfs.read(blocks) else ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    if why := btrfs.unsettable(blocks):
        return why
    if btrfs.devices(blocks) != 1:
        return "the file system is on several devices, each of which repeats it"
    try:
        _changed(blocks, bytes(16))
    except EngineError as error:
        return error.message
    return ""


def write(blocks: Blocks, value: str) -> None:
    """Set the UUID. Raises EngineError, with nothing written, for an unsupported tree."""
    for offset, content in _changed(blocks, uuid.UUID(value).bytes):
        blocks.write(offset, content)


def _changed(blocks: Blocks, new: bytes) -> list[tuple[int, bytes]]:
    """Offset and new content of every block with the UUID in it. Raises EngineError."""
    try:
        return _collected(blocks, new)
    except struct.error:  # a count that leads out of its block
        raise EngineError(_NOT_UNDERSTOOD) from None


def _collected(blocks: Blocks, new: bytes) -> list[tuple[int, bytes]]:
    raw = read_exactly(blocks, _SUPERBLOCKS[0], _SUPERBLOCK_SIZE)
    kind = number(raw, _CHECKSUM_TYPE, "<H")
    if kind not in _CHECKSUMS:
        raise EngineError(f"its checksums are of a kind that is not known here ({kind})")
    old = raw[_DEVICE + _UUID_IN_DEVICE :][:16]
    change = _Change(old, new, _CHECKSUMS[kind])
    size = number(raw, _NODE_SIZE, "<I")
    chunks = [_chunk(raw, at) for at in _chunks_in_array(raw)]
    found: list[tuple[int, bytes]] = []
    pending = [(number(raw, _CHUNK_ROOT, "<Q"), _LEVELS)]
    nodes = 0
    while pending:
        logical, above = pending.pop()
        nodes += 1
        if size not in _NODE_SIZES or nodes > _MOST:
            raise EngineError(_NOT_UNDERSTOOD)
        node, places = _node(blocks, chunks, logical, size, change)
        level, count = node[_LEVEL], number(node, _ITEMS, "<I")
        step = _POINTER if level else _ITEM
        if level >= above or _HEADER + count * step > size:
            raise EngineError(_NOT_UNDERSTOOD)
        keys = [_HEADER + step * index for index in range(count)]
        if level:
            pending += [(number(node, at + _KEY, "<Q"), level) for at in keys]
        else:
            content = change.leaf(node, keys)
            found += [(place, content) for place in places]
    for offset in _SUPERBLOCKS:
        copy = read_exactly(blocks, offset, _SUPERBLOCK_SIZE)
        if copy[0x40:0x48] == raw[0x40:0x48] and number(copy, _BYTE_NUMBER, "<Q") == offset:
            found.append((offset, change.superblock(copy)))
    return found


class _Change(NamedTuple):
    old: bytes
    new: bytes
    checksum: Callable[[bytes], bytes]

    def leaf(self, node: bytes, keys: list[int]) -> bytes:
        raw = bytearray(node)
        for at in keys:
            place = _HEADER + number(node, at + _KEY, "<I")
            if node[at + 8] == _DEVICE_KEY:
                self._put(raw, place + _UUID_IN_DEVICE)
            elif node[at + 8] == _CHUNK_KEY:
                self._put_in_chunk(raw, place)
        return self.sealed(raw)

    def superblock(self, copy: bytes) -> bytes:
        raw = bytearray(copy)
        self._put(raw, _DEVICE + _UUID_IN_DEVICE)
        for at in _chunks_in_array(copy):
            self._put_in_chunk(raw, at)
        return self.sealed(raw)

    def is_sound(self, block: bytes) -> bool:
        seal = self.checksum(block[_CHECKSUM_SIZE:])
        return block.startswith(seal)

    def sealed(self, raw: bytearray) -> bytes:
        seal = self.checksum(bytes(raw[_CHECKSUM_SIZE:]))
        return bytes(seal + raw[len(seal) :])

    def _put_in_chunk(self, raw: bytearray, at: int) -> None:
        for index in range(number(raw, at + _STRIPES_IN_CHUNK, "<H")):
            self._put(raw, at + _CHUNK + _STRIPE * index + _UUID_IN_STRIPE)

    def _put(self, raw: bytearray, at: int) -> None:
        if raw[at : at + 16] != self.old:
            raise EngineError("its chunk tree names another device")
        raw[at : at + 16] = self.new


def _chunks_in_array(raw: bytes) -> Iterator[int]:
    """The offset of each system chunk in the superblock *raw*."""
    at, end = _ARRAY, _ARRAY + min(number(raw, _ARRAY_SIZE, "<I"), _ARRAY_LIMIT)
    while at + _KEY + _CHUNK <= end:
        stripes = number(raw, at + _KEY + _STRIPES_IN_CHUNK, "<H")
        yield at + _KEY
        at += _KEY + _CHUNK + _STRIPE * stripes


def _chunk(raw: bytes, at: int) -> _Chunk:
    profile = number(raw, at + 24, "<Q") & _PROFILES
    if profile not in {0, _DUP}:
        raise EngineError("its chunk tree is striped over devices")
    stripes = range(number(raw, at + _STRIPES_IN_CHUNK, "<H"))
    places = tuple(number(raw, at + _CHUNK + _STRIPE * index + 8, "<Q") for index in stripes)
    return _Chunk(number(raw, at - 8, "<Q"), number(raw, at, "<Q"), places)


def _node(
    blocks: Blocks, chunks: list[_Chunk], logical: int, size: int, change: _Change
) -> tuple[bytes, list[int]]:
    """The node at the address *logical*, and the byte offset of each copy on the device."""
    chunk = next((chunk for chunk in chunks if chunk.holds(logical)), None)
    places = [place + logical - chunk.start for place in chunk.places] if chunk else []
    copies = {read_exactly(blocks, place, size) for place in places}
    node = copies.pop() if len(copies) == 1 else b""
    if not node or not change.is_sound(node) or number(node, _BYTE_NUMBER, "<Q") != logical:
        raise EngineError("its chunk tree is damaged, or its copies differ")
    return node, places
