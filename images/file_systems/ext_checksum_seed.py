"""The seed of ext4's metadata checksums, kept in the superblock.

Without it the seed is computed from the UUID, so that a new UUID changes every checksum; with it, a
new UUID changes only the copies of the superblock.

References: Linux ``Documentation/filesystems/ext4/super.rst`` (``s_checksum_seed``; since 4.4);
e2fsprogs since 1.43, ``tune2fs -O metadata_csum_seed``.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unclone.images.blocks import number
from unclone.images.crc32c import crc32c
from unclone.images.file_systems import ext_superblock

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.images.blocks import Blocks
    from unclone.images.file_systems.ext_superblock import Superblock


def checksum(raw: bytes | bytearray) -> int:
    """The value for ``s_checksum`` of the superblock *raw*."""
    return crc32c(0xFFFFFFFF, raw[: ext_superblock.CHECKSUM_OFFSET])


def is_kept(found: Superblock) -> bool:
    """Whether the seed of *found* is in the superblock, or there are no checksums."""
    has_checksums = found.s_feature_ro_compat & ext_superblock.RO_COMPAT_METADATA_CSUM
    return not has_checksums or bool(found.s_feature_incompat & ext_superblock.INCOMPAT_CSUM_SEED)


def keep(blocks: Blocks, found: Superblock) -> None:
    """Write the seed into every superblock of *found*, which is clean and has checksums."""
    seed = crc32c(0xFFFFFFFF, found.s_uuid)

    def seeded(raw: bytearray) -> None:
        at = ext_superblock.INCOMPAT_OFFSET
        features = number(raw, at, "<I") | ext_superblock.INCOMPAT_CSUM_SEED
        struct.pack_into("<I", raw, at, features)
        struct.pack_into("<I", raw, ext_superblock.CHECKSUM_SEED_OFFSET, seed)

    change_superblocks(blocks, found, seeded)


def change_superblocks(
    blocks: Blocks, found: Superblock, change: Callable[[bytearray], None]
) -> None:
    """Change every copy of the superblock with *change*, the primary last; set the checksums."""
    starts = [
        (found.s_first_data_block + group * found.s_blocks_per_group) * found.block_size
        for group in found.backup_groups
    ]
    for start in (*starts, ext_superblock.OFFSET):
        raw = bytearray(blocks.read(start, ext_superblock.SIZE))
        change(raw)
        struct.pack_into("<I", raw, ext_superblock.CHECKSUM_OFFSET, checksum(raw))
        blocks.write(start, bytes(raw))
