"""The types that are containers: their content is a device of its own."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from unclone.images.blocks import read_exactly
from unclone.images.file_systems.file_system_type import FileSystemType, Signature
from unclone.images.identifiers import luks, md
from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

_MD_MAGIC = struct.pack("<I", 0xA92B4EFC)


def _detect_md(blocks: Blocks) -> str:
    """Look for superblocks of the versions 0.90 and 1.0, which are near the end."""
    for offset in ((blocks.size & ~0xFFFF) - 0x10000, (blocks.size & ~0xFFF) - 0x2000):
        if offset > 0 and read_exactly(blocks, offset, 4) == _MD_MAGIC:
            return MD.names[0]
    return ""


def _read_lvm(blocks: Blocks) -> str:
    from unclone.images.identifiers import lvm  # noqa: PLC0415 (only some guests have it)

    volume = lvm.read(blocks)
    return volume.uuid if volume else ""


LUKS = FileSystemType(
    ("crypto_LUKS",),
    (Signature(0, b"LUKS\xba\xbe"),),
    identifier=IdentifierKind.LUKS_UUID,
    read=luks.read,
    unsettable=luks.unsettable,
    write=luks.write,
)

#: Whether its identifiers can be set depends on all members of the group: see :mod:`.lvm_devices`.
LVM = FileSystemType(
    ("LVM2_member",),
    tuple(Signature(offset, b"LVM2 001") for offset in (0x18, 0x218, 0x418, 0x618)),
    identifier=IdentifierKind.LVM_PV_UUID,
    read=_read_lvm,
)

MD = FileSystemType(
    ("linux_raid_member",),
    (Signature(0, _MD_MAGIC), Signature(0x1000, _MD_MAGIC)),
    _detect_md,
    identifier=IdentifierKind.MD_UUID,
    read=md.read,
    unsettable=md.unsettable,
    write=md.write,
    spans_devices=True,
)

TYPES = (LUKS, LVM, MD)
