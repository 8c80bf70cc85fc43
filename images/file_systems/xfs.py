"""XFS: the UUID is in every superblock and, up to version 4, in the log, so ``xfs_db`` writes it.

On version 5 the first UUID stays in all metadata and in the superblock as ``meta_uuid``, an
incompatible feature (since Linux 4.3, GRUB 2.02): no tool rewrites all metadata. ``xfs_admin``
skips a file system whose log is not clean, and exits with 0.

References: XFS Algorithms & Data Structures, 3rd edition, "Superblocks"; Linux
``fs/xfs/libxfs/xfs_format.h``; xfsprogs 6.1 ``db/sb.c`` (``uuid_f``), xfs_admin(8);
xfs_repair(8) "EXIT STATUS".
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from unclone.images.blocks import Command, number, read_exactly
from unclone.images.file_systems import xfs_metadata
from unclone.images.file_systems.file_system_type import Checker, FileSystemType, Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.blocks import Blocks

_MAGIC = b"XFSB"

#: Incompatible features: ftype, sparse inodes, meta_uuid, bigtime, needsrepair, nrext64,
#: exchange-range, parent pointers.
_NEEDS_REPAIR = 0x10
_KNOWN = 0xFF


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is none."""
    raw = _superblock(blocks)
    return str(uuid.UUID(bytes=raw[32:48])) if raw and any(raw[32:48]) else ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    raw = _superblock(blocks)
    if not raw:
        return "there is no XFS on it"
    version = number(raw, 100, ">H") & 0xF
    if version not in {4, 5}:
        return f"it is XFS version {version}, which nothing can change any more"
    if not number(raw, 48, ">Q"):
        return "its log is on another device"
    if version == 5:
        features = number(raw, 216, ">I")
        if features & _NEEDS_REPAIR:
            return "it has to be repaired first (xfs_repair)"
        if features & ~_KNOWN:
            return f"it has features that are not known ({features & ~_KNOWN:#x})"
    return ""


def commands(blocks: Blocks, target: str, value: str) -> Sequence[Command]:
    """The commands that set the UUID of the file system in *target*, whose log is clean."""
    del blocks
    return (Command(("xfs_admin", "-U", value, target)),)


def _superblock(blocks: Blocks) -> bytes:
    raw = read_exactly(blocks, 0, 512)
    return raw if raw.startswith(_MAGIC) else b""


def _label(blocks: Blocks) -> str:
    return _superblock(blocks)[108:120].split(b"\0")[0].decode("utf-8", "surrogateescape")


TYPE = FileSystemType(
    ("xfs",),
    (Signature(0, _MAGIC),),
    root_of="linux",
    label=_label,
    read=read,
    unsettable=unsettable,
    commands=commands,
    commands_need_mount=True,
    # Only a mount replays the log.
    checker=Checker(("xfs_repair", "-n"), mount_first=True),
    metadata=xfs_metadata.metadata,
    identifier_areas=xfs_metadata.identifier_areas,
    # A copy with the same UUID may be mounted at the same time.
    mount_options=("nouuid",),
)
