"""btrfs: the UUID is in the header of every metadata block, so ``btrfstune`` writes it.

It rewrites all metadata (``-U``) rather than setting the feature METADATA_UUID (``-M``), which
Linux before 5.0 cannot mount; a file system that has the feature keeps it. Subvolumes have UUIDs of
their own, by which snapshots name their originals; they stay the same, as with btrfstune. The UUID
of the device (blkid's UUID_SUB) is :mod:`unclone.images.identifiers.btrfs_device`.

References: btrfs-progs 6.2 ``Documentation/btrfstune.rst``, ``tune/main.c``; Linux
``include/uapi/linux/btrfs_tree.h`` (``struct btrfs_super_block``, flags); btrfs-check(8),
btrfs-device(8) ``scan``.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from unclone.images.blocks import Command, number, read_exactly
from unclone.images.file_systems import btrfs_chunk_tree
from unclone.images.file_systems.file_system_type import Checker, FileSystemType, Signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.blocks import Blocks

_SUPERBLOCK = 0x10000
_SIZE = 4096
_MAGIC = b"_BHRfS_M"
_SEEDING = 1 << 32
_CHANGING = 1 << 35 | 1 << 36
_METADATA_UUID = 1 << 10  # incompatible features
_EXTENT_TREE_V2 = 1 << 13
_RAID_STRIPE_TREE = 1 << 14


def read(blocks: Blocks) -> str:
    """The UUID of the file system; "" when there is none."""
    raw = _superblock(blocks)
    return str(uuid.UUID(bytes=raw[32:48])) if raw else ""


def devices(blocks: Blocks) -> int:
    """The number of devices of the file system; 0 when there is none."""
    raw = _superblock(blocks)
    return number(raw, 0x88, "<Q") if raw else 0


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set if all devices are present."""
    raw = _superblock(blocks)
    if not raw:
        return "there is no btrfs on it"
    flags, features = number(raw, 0x38, "<Q"), number(raw, 0xBC, "<Q")
    if flags & _SEEDING:
        return "it is a seed, which other file systems name by its UUID"
    if flags & _CHANGING:
        return "an earlier change of its UUID was interrupted (btrfstune finishes it)"
    if features & (_EXTENT_TREE_V2 | _RAID_STRIPE_TREE):
        return "it has a feature that is still experimental"
    return ""


def commands(blocks: Blocks, target: str, value: str) -> Sequence[Command]:
    """The commands that set the UUID of the file system in *target*."""
    has_feature = number(_superblock(blocks), 0xBC, "<Q") & _METADATA_UUID
    return (Command(("btrfstune", "-f", "-M" if has_feature else "-U", value, target)),)


def _superblock(blocks: Blocks) -> bytes:
    raw = read_exactly(blocks, _SUPERBLOCK, _SIZE)
    return raw if raw[0x40:0x48] == _MAGIC else b""


def _label(blocks: Blocks) -> str:
    return _superblock(blocks)[0x12B:0x22B].split(b"\0")[0].decode("utf-8", "surrogateescape")


TYPE = FileSystemType(
    ("btrfs",),
    (Signature(_SUPERBLOCK + 0x40, _MAGIC),),
    root_of="linux",
    label=_label,
    read=read,
    unsettable=unsettable,
    commands=commands,
    commands_need_mount=True,
    spans_devices=True,
    devices=devices,
    checker=Checker(("btrfs", "check", "--readonly")),
    metadata=btrfs_chunk_tree.metadata,
    device_scan=("btrfs", "device", "scan"),
)
