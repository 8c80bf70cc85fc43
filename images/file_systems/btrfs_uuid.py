"""The UUID of a btrfs on one device, kept apart from that of its metadata.

With the feature METADATA_UUID (Linux since 5.0) the UUID is in the superblocks only; the metadata
keeps the one that it was made with.

References: Linux ``include/uapi/linux/btrfs_tree.h`` (``btrfs_super_block``, flags),
``fs/btrfs/disk-io.c`` (``btrfs_validate_super``: the device item has the metadata's UUID);
btrfs-progs ``tune/change-metadata-uuid.c``.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.crc32c import crc32c
from unclone.images.errors import EngineError
from unclone.images.file_systems import btrfs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.blocks import Blocks

SUPERBLOCKS, SUPERBLOCK_SIZE = (0x10000, 0x4000000, 0x4000000000), 4096
#: Bytes for the checksum, before all that it covers.
CHECKSUM_SIZE = 32
MAGIC, MAGIC_OFFSET = b"_BHRfS_M", 0x40
UUID_OFFSET, _FEATURES, _META_UUID_OFFSET, _META_UUID = 0x20, 0xBC, 0x23B, 1 << 10
#: Incompatible features: all up to the metadata's UUID but compression with LZO and zstd and
#: RAID 5 and 6, and simple quotas.
_KNOWN = 0x7FF & ~(1 << 3 | 1 << 4 | 1 << 7) | 1 << 16
_COMPRESSED = 1 << 3 | 1 << 4
#: Features that have to be known for writing: the trees of free space and of block groups; not
#: fs-verity, whose files have digests.
_FOR_WRITING, _KNOWN_WRITING = 0xB4, 1 << 0 | 1 << 1 | 1 << 3


def unsupported(blocks: Blocks) -> str:
    """Why the file system cannot be opened at rest once a kernel has unmounted it, or ""."""
    if why := btrfs.unsettable(blocks):
        return f"a btrfs that stays as it is: {why}"
    raw = read_exactly(blocks, SUPERBLOCKS[0], SUPERBLOCK_SIZE)
    features = number(raw, _FEATURES, "<Q")
    if number(raw, 0x88, "<Q") != 1:
        return "a btrfs on several devices"
    if number(raw, 0xC4, "<H"):
        return "a btrfs with checksums other than CRC-32C"
    if features & _COMPRESSED:
        return "a btrfs with files that are compressed with LZO or zstd"
    if features & ~_KNOWN:
        return f"a btrfs with features that are not supported here ({features & ~_KNOWN:#x})"
    if writing := number(raw, _FOR_WRITING, "<Q") & ~_KNOWN_WRITING:
        return f"a btrfs with features that are not supported here ({writing:#x}, for writing)"
    return ""


def is_clean(blocks: Blocks) -> bool:
    """Whether it has no log to replay."""
    return not number(superblock(blocks), 0x60, "<Q")


def set_uuid(blocks: Blocks, value: str) -> None:
    """Set the UUID. Raises EngineError."""
    first = superblock(blocks)
    for offset, raw in _copies(blocks, first[UUID_OFFSET : UUID_OFFSET + 16]):
        features = number(raw, _FEATURES, "<Q")
        if not features & _META_UUID:
            struct.pack_into("<Q", raw, _FEATURES, features | _META_UUID)
            raw[_META_UUID_OFFSET : _META_UUID_OFFSET + 16] = raw[UUID_OFFSET : UUID_OFFSET + 16]
        raw[UUID_OFFSET : UUID_OFFSET + 16] = uuid.UUID(value).bytes
        blocks.write(offset, sealed(raw))


def superblock(blocks: Blocks) -> bytes:
    """The first superblock. Raises EngineError."""
    if why := unsupported(blocks):
        raise EngineError(f"the device holds {why}")
    return read_exactly(blocks, SUPERBLOCKS[0], SUPERBLOCK_SIZE)


def is_sound(block: bytes) -> bool:
    """Whether a superblock or a block of a tree has its checksum."""
    return block[:4] == _checksum(block)


def sealed(block: bytes | bytearray) -> bytes:
    """*block* with its checksum."""
    return _checksum(block) + bytes(block[4:])


def checksum(data: bytes | bytearray) -> bytes:
    """The checksum of *data*."""
    return (crc32c(0xFFFFFFFF, data) ^ 0xFFFFFFFF).to_bytes(4, "little")


def _checksum(block: bytes | bytearray) -> bytes:
    return checksum(block[CHECKSUM_SIZE:])


def _copies(blocks: Blocks, old: bytes) -> Iterator[tuple[int, bytearray]]:
    for offset in SUPERBLOCKS:
        raw = read_exactly(blocks, offset, SUPERBLOCK_SIZE)
        if raw[MAGIC_OFFSET : MAGIC_OFFSET + 8] == MAGIC and number(raw, 0x30, "<Q") == offset:
            if raw[UUID_OFFSET : UUID_OFFSET + 16] != old:
                raise EngineError("the superblocks of the btrfs differ")
            yield offset, bytearray(raw)
