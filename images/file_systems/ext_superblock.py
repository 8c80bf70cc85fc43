"""The superblock of ext2, ext3 and ext4.

Fields have the names of the specification. Helper programs load this module: it imports nothing
that is slow to load.

References: Linux ``Documentation/filesystems/ext4/super.rst``; e2fsprogs 1.47 ``ext2_fs.h``
(feature bits), ``libblkid/src/superblocks/ext.c`` (which features make an ext4).
"""

from __future__ import annotations

import struct

#: Bytes: where it is on the volume, and its size.
OFFSET, SIZE = 1024, 1024

_MAGIC = 0xEF53
_LAYOUT = struct.Struct(
    "<II12xII4xI4xI12xHH12xII4xIH2xIII16s16s70xH16xI4xI18xH80xI33xB214x8s24xI16xI376xI"
)
#: Offsets of fields that are written.
UUID_OFFSET, CHECKSUM_OFFSET = 0x68, 0x3FC
INCOMPAT_OFFSET, CHECKSUM_SEED_OFFSET = 0x60, 0x270

# s_state
VALID_FS, ERROR_FS = 1, 2

COMPAT_HAS_JOURNAL = 0x4
COMPAT_SPARSE_SUPER2 = 0x200
COMPAT_STABLE_INODES = 0x800
COMPAT_ORPHAN_FILE = 0x1000

INCOMPAT_RECOVER = 0x4
INCOMPAT_JOURNAL_DEV = 0x8
INCOMPAT_META_BG = 0x10
INCOMPAT_EXTENTS = 0x40
INCOMPAT_64BIT = 0x80
INCOMPAT_CSUM_SEED = 0x2000

RO_COMPAT_SPARSE_SUPER = 0x1
RO_COMPAT_GDT_CSUM = 0x10
RO_COMPAT_METADATA_CSUM = 0x400
RO_COMPAT_ORPHAN_PRESENT = 0x10000

#: Any feature but these makes it an ext4: filetype, needs_recovery, journal_dev, meta_bg;
#: sparse_super, large_file, btree_dir.
_EXT3_INCOMPAT, _EXT3_RO_COMPAT = 0x2 | 0x4 | 0x8 | 0x10, 0x1 | 0x2 | 0x4


class Superblock:
    """The fields in the 1024 bytes *raw*, and values derived from them; sizes are bytes.

    The fields are not checked: see :attr:`is_sane`.
    """

    s_inodes_count: int
    s_blocks_count_lo: int
    s_first_data_block: int
    s_log_block_size: int
    s_blocks_per_group: int
    s_inodes_per_group: int
    s_magic: int
    s_state: int
    s_creator_os: int
    s_rev_level: int
    s_first_ino: int
    s_inode_size: int
    s_feature_compat: int
    s_feature_incompat: int
    s_feature_ro_compat: int
    s_uuid: bytes
    s_volume_name: bytes
    s_reserved_gdt_blocks: int
    s_journal_inum: int
    s_last_orphan: int
    s_desc_size: int
    s_blocks_count_hi: int
    s_checksum_type: int
    s_backup_bgs: bytes
    s_prj_quota_inum: int
    s_orphan_file_inum: int
    s_checksum: int

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        (
            self.s_inodes_count,
            self.s_blocks_count_lo,
            self.s_first_data_block,
            self.s_log_block_size,
            self.s_blocks_per_group,
            self.s_inodes_per_group,
            self.s_magic,
            self.s_state,
            self.s_creator_os,
            self.s_rev_level,
            self.s_first_ino,
            self.s_inode_size,
            self.s_feature_compat,
            self.s_feature_incompat,
            self.s_feature_ro_compat,
            self.s_uuid,
            self.s_volume_name,
            self.s_reserved_gdt_blocks,
            self.s_journal_inum,
            self.s_last_orphan,
            self.s_desc_size,
            self.s_blocks_count_hi,
            self.s_checksum_type,
            self.s_backup_bgs,
            self.s_prj_quota_inum,
            self.s_orphan_file_inum,
            self.s_checksum,
        ) = _LAYOUT.unpack(raw)

    @property
    def is_sane(self) -> bool:
        """Whether the block size and the inode size are valid."""
        inode = self.inode_size
        if self.s_log_block_size > 6 or inode < 128 or inode & (inode - 1):
            return False
        return inode <= self.block_size

    @property
    def type(self) -> str:
        """The type as blkid names it."""
        if self.s_feature_incompat & ~_EXT3_INCOMPAT or self.s_feature_ro_compat & ~_EXT3_RO_COMPAT:
            return "ext4"
        return "ext3" if self.s_feature_compat & COMPAT_HAS_JOURNAL else "ext2"

    @property
    def block_size(self) -> int:
        return 1024 << self.s_log_block_size

    @property
    def blocks_count(self) -> int:
        high = self.s_blocks_count_hi if self.s_feature_incompat & INCOMPAT_64BIT else 0
        return self.s_blocks_count_lo | high << 32

    @property
    def size(self) -> int:
        """Bytes of the volume that belong to the file system."""
        return self.blocks_count * self.block_size

    @property
    def used(self) -> int:
        """Bytes that are in use, according to s_free_blocks_count."""
        free = int.from_bytes(self.raw[0x0C:0x10], "little")
        if self.s_feature_incompat & INCOMPAT_64BIT:
            free |= int.from_bytes(self.raw[0x158:0x15C], "little") << 32
        return max(0, self.blocks_count - free) * self.block_size

    @property
    def inode_size(self) -> int:
        return self.s_inode_size if self.s_rev_level else 128

    @property
    def first_inode(self) -> int:
        """The first inode that is not reserved."""
        return max(self.s_first_ino, 11) if self.s_rev_level else 11

    @property
    def descriptor_size(self) -> int:
        """Bytes of a group descriptor."""
        return self.s_desc_size if self.s_feature_incompat & INCOMPAT_64BIT else 32

    @property
    def group_count(self) -> int:
        """The number of block groups. Requires ``s_blocks_per_group`` not to be 0."""
        return -(-(self.blocks_count - self.s_first_data_block) // self.s_blocks_per_group)

    @property
    def backup_groups(self) -> list[int]:
        """The groups with a copy of the superblock, without the first one."""
        if self.s_feature_compat & COMPAT_SPARSE_SUPER2:
            named = set(struct.unpack("<II", self.s_backup_bgs))
            return sorted(group for group in named if 0 < group < self.group_count)
        if not self.s_feature_ro_compat & RO_COMPAT_SPARSE_SUPER:
            return list(range(1, self.group_count))
        powers = {base**n for base in (3, 5, 7) for n in range(21)}
        return sorted(group for group in powers if 0 < group < self.group_count)

    @property
    def uses_extents(self) -> bool:
        """Whether new files are mapped by extents."""
        return bool(self.s_feature_incompat & INCOMPAT_EXTENTS)

    @property
    def needs_check(self) -> bool:
        """Whether a mount would replay the journal, or a check is needed before it."""
        return bool(
            self.s_feature_incompat & INCOMPAT_RECOVER
            or self.s_feature_ro_compat & RO_COMPAT_ORPHAN_PRESENT
            or self.s_last_orphan
            or not self.s_state & VALID_FS
            or self.s_state & ERROR_FS
        )


def parse(raw: bytes) -> Superblock | None:
    """The superblock in *raw*, the bytes at :data:`OFFSET`; None without its magic."""
    found = Superblock(raw) if len(raw) == SIZE else None
    return found if found and found.s_magic == _MAGIC else None
