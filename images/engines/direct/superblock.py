"""The ext2/3/4 superblock: what a file system is called, and what this engine can do with it.

References: Linux ``Documentation/filesystems/ext4/super.rst``; e2fsprogs 1.47 ``ext2_fs.h``
(feature bits), ``libblkid/src/superblocks/ext.c`` (which features make an ext4).
"""

from __future__ import annotations

import struct
import uuid
from typing import NamedTuple

#: Bytes from the start of the volume.
OFFSET = 1024
SIZE = 1024
_MAGIC = 0xEF53

_HAS_JOURNAL = 0x4
_EXTENTS = 0x40
_RECOVER = 0x4
_ORPHAN_PRESENT = 0x10000
_VALID, _ERRORS = 1, 2

#: What this engine knows how to leave as the kernel would: by mask, in the words of ``tune2fs``.
_COMPATIBLE = {
    0x1: "dir_prealloc",
    0x4: "has_journal",
    0x8: "ext_attr",
    0x10: "resize_inode",
    0x20: "dir_index",
    0x200: "sparse_super2",
    0x400: "fast_commit",
    0x800: "stable_inodes",
    0x1000: "orphan_file",
}
_INCOMPATIBLE = {
    0x2: "filetype",
    0x4: "needs_recovery",
    0x10: "meta_bg",
    0x40: "extent",
    0x80: "64bit",
    0x200: "flex_bg",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
    0x8000: "inline_data",
}
_READ_ONLY = {
    0x1: "sparse_super",
    0x2: "large_file",
    0x8: "huge_file",
    0x10: "uninit_bg",
    0x20: "dir_nlink",
    0x40: "extra_isize",
    0x400: "metadata_csum",
    0x10000: "orphan_present",
}
#: Features that exist and are out of reach, so that the refusal can name them.
_NAMED = {
    ("compat", 0x2): "imagic_inodes",
    ("incompat", 0x1): "compression",
    ("incompat", 0x8): "journal_dev",
    ("incompat", 0x100): "mmp",
    ("incompat", 0x400): "ea_inode",
    ("incompat", 0x1000): "dirdata",
    ("incompat", 0x10000): "encrypt",
    ("incompat", 0x20000): "casefold",
    ("ro_compat", 0x80): "snapshot",
    ("ro_compat", 0x100): "quota",
    ("ro_compat", 0x200): "bigalloc",
    ("ro_compat", 0x800): "replica",
    ("ro_compat", 0x1000): "read-only",
    ("ro_compat", 0x2000): "project",
    ("ro_compat", 0x4000): "shared_blocks",
    ("ro_compat", 0x8000): "verity",
}
_EXT4_INCOMPATIBLE = 0x40 | 0x80 | 0x200 | 0x100 | 0x400 | 0x2000 | 0x4000 | 0x8000
_EXT4_INCOMPATIBLE |= 0x10000 | 0x20000
_EXT3_READ_ONLY = 0x1 | 0x2 | 0x4


class Superblock(NamedTuple):
    """What the superblock says; sizes are bytes."""

    blocks: int
    block_size: int
    inodes: int
    inode_size: int
    first_inode: int
    compatible: int
    incompatible: int
    read_only: int
    state: int
    last_orphan: int
    journal_inode: int
    special_inodes: frozenset[int]
    uuid: str
    label: str

    @property
    def type(self) -> str:
        """The word of blkid for it."""
        if self.incompatible & _EXT4_INCOMPATIBLE or self.read_only & ~_EXT3_READ_ONLY:
            return "ext4"
        return "ext3" if self.compatible & _HAS_JOURNAL else "ext2"

    @property
    def uses_extents(self) -> bool:
        """Whether new files are mapped by extents."""
        return bool(self.incompatible & _EXTENTS)

    @property
    def size(self) -> int:
        """The bytes of the volume that it uses."""
        return self.blocks * self.block_size

    @property
    def unclean(self) -> bool:
        """Whether a mount would have to replay a journal, or a check should come first."""
        return bool(
            self.incompatible & _RECOVER
            or self.read_only & _ORPHAN_PRESENT
            or self.last_orphan
            or not self.state & _VALID
            or self.state & _ERRORS
        )

    def unsupported(self, volume_size: int) -> str:
        """Why this engine must not touch it, in the words of ``tune2fs``; "" when it may."""
        beyond = [
            *_unknown("compat", self.compatible, _COMPATIBLE),
            *_unknown("incompat", self.incompatible, _INCOMPATIBLE),
            *_unknown("ro_compat", self.read_only, _READ_ONLY),
        ]
        if beyond:
            return f"the feature {beyond[0]}" if len(beyond) == 1 else f"features {beyond}"
        if self.compatible & _HAS_JOURNAL and not self.journal_inode:
            return "an external journal"
        if self.size > volume_size:
            return "a file system that is larger than its partition"
        return ""


def parse(raw: bytes) -> Superblock | None:
    """Read *raw*, the 1024 bytes at :data:`OFFSET`; None when they are no sane superblock."""
    if len(raw) < SIZE or _u16(raw, 0x38) != _MAGIC:
        return None
    log_block_size = _u32(raw, 0x18)
    dynamic = _u32(raw, 0x4C) >= 1
    inode_size = _u16(raw, 0x58) if dynamic else 128
    blocks = _u32(raw, 0x4)
    if _u32(raw, 0x60) & 0x80:
        blocks |= _u32(raw, 0x150) << 32
    if log_block_size > 6 or inode_size < 128 or inode_size & (inode_size - 1):
        return None
    block_size = 1024 << log_block_size
    if inode_size > block_size:
        return None
    orphan_file = _u32(raw, 0x280)
    journal = _u32(raw, 0xE0) if dynamic else 0
    return Superblock(
        blocks=blocks,
        block_size=block_size,
        inodes=_u32(raw, 0x0),
        inode_size=inode_size,
        first_inode=max(_u32(raw, 0x54), 11) if dynamic else 11,
        compatible=_u32(raw, 0x5C) if dynamic else 0,
        incompatible=_u32(raw, 0x60) if dynamic else 0,
        read_only=_u32(raw, 0x64) if dynamic else 0,
        state=_u16(raw, 0x3A),
        last_orphan=_u32(raw, 0xE8) if dynamic else 0,
        journal_inode=journal,
        special_inodes=frozenset({orphan_file, journal} - {0}),
        uuid=str(uuid.UUID(bytes=raw[0x68:0x78])) if any(raw[0x68:0x78]) else "",
        label=raw[0x78:0x88].split(b"\0")[0].decode("utf-8", "surrogateescape"),
    )


def _unknown(group: str, bits: int, known: dict[int, str]) -> list[str]:
    masks = [1 << n for n in range(32) if bits >> n & 1 and 1 << n not in known]
    return [_NAMED.get((group, mask), f"{group}={mask:#x}") for mask in masks]


def _u16(raw: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<H", raw, offset)[0]
    return value


def _u32(raw: bytes, offset: int) -> int:
    value: int = struct.unpack_from("<I", raw, offset)[0]
    return value
