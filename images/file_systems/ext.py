"""ext2, ext3, ext4: the UUID seeds the checksums of all metadata, so ``tune2fs`` writes it.

References: e2fsprogs 1.47 ``misc/tune2fs.c`` (``-U`` needs a fresh ``e2fsck -f``, and refuses
``stable_inodes``); e2fsck(8) "EXIT CODE".
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from unclone.images.blocks import Command, read_exactly
from unclone.images.file_systems import ext_superblock
from unclone.images.file_systems.file_system_type import Checker, FileSystemType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.file_systems.ext_superblock import Superblock


def superblock(blocks: Blocks) -> Superblock | None:
    """The superblock; None when there is none."""
    return ext_superblock.parse(read_exactly(blocks, ext_superblock.OFFSET, ext_superblock.SIZE))


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is none."""
    found = superblock(blocks)
    return str(uuid.UUID(bytes=found.s_uuid)) if found and any(found.s_uuid) else ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    found = superblock(blocks)
    if not found:
        return "there is no ext file system on it"
    if found.s_feature_incompat & ext_superblock.INCOMPAT_JOURNAL_DEV:
        return "it is the journal of another file system, which names it by its UUID"
    if found.s_feature_compat & ext_superblock.COMPAT_STABLE_INODES:
        return "encrypted files on it depend on the UUID (feature stable_inodes)"
    if found.s_feature_compat & ext_superblock.COMPAT_HAS_JOURNAL and not found.s_journal_inum:
        return "its journal is on another device, which names it by its UUID"
    return ""


def commands(blocks: Blocks, target: str, value: str) -> Sequence[Command]:
    """The commands that set the UUID of the file system in *target*."""
    check = Command(("e2fsck", "-fp", target), ok=(0, 1))
    change = Command(("tune2fs", "-U", value, target))
    found = superblock(blocks)
    # tune2fs 1.47 leaves the checksums of the orphan file wrong: no kernel mounts it.
    if found and found.s_feature_compat & ext_superblock.COMPAT_ORPHAN_FILE:
        return check, change, check
    return check, change


def _detect(blocks: Blocks) -> str:
    found = superblock(blocks)
    return found.type if found and found.is_sane else ""


def _label(blocks: Blocks) -> str:
    found = superblock(blocks)
    name = found.s_volume_name.split(b"\0")[0] if found else b""
    return name.decode("utf-8", "surrogateescape")


CHECKER = Checker(("e2fsck", "-fn"), ("e2fsck", "-fp"), repaired=(0, 1))

TYPE = FileSystemType(
    ("ext2", "ext3", "ext4"),
    detect=_detect,
    root_of="linux",
    label=_label,
    read=read,
    unsettable=unsettable,
    commands=commands,
    checker=CHECKER,
)
