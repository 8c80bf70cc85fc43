"""ext2, ext3, ext4: the UUID seeds the checksums of all metadata, so ``tune2fs`` writes it.

References: Linux ``Documentation/filesystems/ext4/super.rst`` (offsets, features); e2fsprogs 1.47
``misc/tune2fs.c`` (``-U`` wants a fresh ``e2fsck -f``, and refuses ``stable_inodes``).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from unclone.images.identifiers.blocks import Command, number, read_exactly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.identifiers.blocks import Blocks

_SUPERBLOCK, _SIZE = 1024, 1024
_MAGIC = 0xEF53
_HAS_JOURNAL, _STABLE_INODES, _ORPHAN_FILE = 0x4, 0x800, 0x1000  # compatible features
_JOURNAL_DEVICE = 0x8  # incompatible features


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is none."""
    raw = _superblock(blocks)
    return str(uuid.UUID(bytes=raw[0x68:0x78])) if raw and any(raw[0x68:0x78]) else ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    raw = _superblock(blocks)
    if not raw:
        return "there is no ext file system on it"
    compatible, incompatible = number(raw, 0x5C, "<I"), number(raw, 0x60, "<I")
    if incompatible & _JOURNAL_DEVICE:
        return "it is the journal of another file system, which names it by its UUID"
    if compatible & _STABLE_INODES:
        return "encrypted files on it depend on the UUID (feature stable_inodes)"
    if compatible & _HAS_JOURNAL and not number(raw, 0xE0, "<I"):
        return "its journal is on another device, which names it by its UUID"
    return ""


def commands(blocks: Blocks, target: str, value: str) -> Sequence[Command]:
    """What sets the UUID of the file system in *target*."""
    check = Command(("e2fsck", "-fp", target), ok=(0, 1))
    change = Command(("tune2fs", "-U", value, target))
    # tune2fs 1.47 forgets the checksums of the orphan file, with which no kernel mounts it.
    has_orphan_file = number(_superblock(blocks), 0x5C, "<I") & _ORPHAN_FILE
    return (check, change, check) if has_orphan_file else (check, change)


def _superblock(blocks: Blocks) -> bytes:
    raw = read_exactly(blocks, _SUPERBLOCK, _SIZE)
    return raw if raw and number(raw, 0x38, "<H") == _MAGIC else b""
