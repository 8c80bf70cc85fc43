"""The UUID of the device that a btrfs is on, which blkid calls ``UUID_SUB``. No tool sets it.

It is in every superblock, in the chunk tree (in the device item, and in every stripe), and in the
system chunks that are copied into the superblocks. Each block has a checksum.

References: Linux ``include/uapi/linux/btrfs_tree.h`` (``btrfs_super_block``, ``btrfs_header``,
``btrfs_dev_item``, ``btrfs_chunk``, ``btrfs_stripe``), ``fs/btrfs/volumes.c`` (``read_one_chunk``
looks a device up by its id and this UUID); https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError
from unclone.images.file_systems import btrfs
from unclone.images.file_systems.btrfs_chunk_tree import (
    BYTE_NUMBER,
    CHUNK,
    CHUNK_KEY,
    HEADER,
    KEY,
    NOT_UNDERSTOOD,
    STRIPE,
    STRIPES_IN_CHUNK,
    SUPERBLOCK_SIZE,
    SUPERBLOCKS,
    checksum_of,
    chunks_in_array,
    leaves,
    sealed,
)

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks
    from unclone.images.file_systems.btrfs_chunk_tree import Checksum

# Offsets in the superblock, in a device item and in a stripe.
_DEVICE, _UUID_IN_DEVICE, _UUID_IN_STRIPE = 201, 66, 16
_DEVICE_KEY = 216


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is no btrfs."""
    raw = read_exactly(blocks, SUPERBLOCKS[0], SUPERBLOCK_SIZE)
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
        raise EngineError(NOT_UNDERSTOOD) from None


def _collected(blocks: Blocks, new: bytes) -> list[tuple[int, bytes]]:
    raw = read_exactly(blocks, SUPERBLOCKS[0], SUPERBLOCK_SIZE)
    old = raw[_DEVICE + _UUID_IN_DEVICE :][:16]
    change = _Change(old, new, checksum_of(raw))
    found: list[tuple[int, bytes]] = []
    for node, places, keys in leaves(blocks, raw, change.checksum):
        content = change.leaf(node, keys)
        found += [(place, content) for place in places]
    for offset in SUPERBLOCKS:
        copy = read_exactly(blocks, offset, SUPERBLOCK_SIZE)
        if copy[0x40:0x48] == raw[0x40:0x48] and number(copy, BYTE_NUMBER, "<Q") == offset:
            found.append((offset, change.superblock(copy)))
    return found


class _Change(NamedTuple):
    old: bytes
    new: bytes
    checksum: Checksum

    def leaf(self, node: bytes, keys: list[int]) -> bytes:
        raw = bytearray(node)
        for at in keys:
            place = HEADER + number(node, at + KEY, "<I")
            if node[at + 8] == _DEVICE_KEY:
                self._put(raw, place + _UUID_IN_DEVICE)
            elif node[at + 8] == CHUNK_KEY:
                self._put_in_chunk(raw, place)
        return sealed(raw, self.checksum)

    def superblock(self, copy: bytes) -> bytes:
        raw = bytearray(copy)
        self._put(raw, _DEVICE + _UUID_IN_DEVICE)
        for at in chunks_in_array(copy):
            self._put_in_chunk(raw, at)
        return sealed(raw, self.checksum)

    def _put_in_chunk(self, raw: bytearray, at: int) -> None:
        for index in range(number(raw, at + STRIPES_IN_CHUNK, "<H")):
            self._put(raw, at + CHUNK + STRIPE * index + _UUID_IN_STRIPE)

    def _put(self, raw: bytearray, at: int) -> None:
        if raw[at : at + 16] != self.old:
            raise EngineError("its chunk tree names another device")
        raw[at : at + 16] = self.new
