"""The features of ext file systems that this engine supports.

References: e2fsprogs 1.47 ``lib/ext2fs/ext2_fs.h``, ``lib/e2p/feature.c`` (names).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.file_systems import ext_superblock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.file_systems.ext_superblock import Superblock

#: The supported features: by mask, the names in ``tune2fs``.
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
#: The names of features that are not supported, for the refusal.
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


def unsupported(superblock: Superblock, volume_size: int) -> str:
    """What this engine does not support, by the names in ``tune2fs``; "" for nothing."""
    beyond = [
        *_unknown("compat", superblock.s_feature_compat, _COMPATIBLE),
        *_unknown("incompat", superblock.s_feature_incompat, _INCOMPATIBLE),
        *_unknown("ro_compat", superblock.s_feature_ro_compat, _READ_ONLY),
    ]
    if beyond:
        return f"the feature {beyond[0]}" if len(beyond) == 1 else f"features {beyond}"
    has_journal = superblock.s_feature_compat & ext_superblock.COMPAT_HAS_JOURNAL
    if has_journal and not superblock.s_journal_inum:
        return "an external journal"
    if superblock.size > volume_size:
        return "a file system that is larger than its partition"
    return ""


def _unknown(group: str, bits: int, known: Mapping[int, str]) -> list[str]:
    masks = [1 << n for n in range(32) if bits >> n & 1 and 1 << n not in known]
    return [_NAMED.get((group, mask), f"{group}={mask:#x}") for mask in masks]
