"""The identifiers in a VDI's header: its own, that of its state, and those of its parent.

VirtualBox refuses a disk whose own UUID is not the one in its media registry, and a differencing
image whose parent has others than it says.

References: VirtualBox src/VBox/Storage/VDICore.h (VDIHEADER1PLUS: uuidCreate, uuidModify,
uuidLinkage, uuidParentModify); UUIDs are in the byte order of iprt's RTUUID, little endian.
"""

from __future__ import annotations

import struct
import uuid
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.errors import RefusedError
from unclone.images.formats.vdi import MAGIC, MAGIC_OFFSET
from unclone.images.text import shown
from unclone.sanitize.definitions.disks.patching import Patch, read_exactly, with_own_ids

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.disks.vmdk import DiskIds

#: Behind the signature: version and the size of the header.
_VERSION = struct.Struct("<II")
_UUIDS_AT = 392
_HEADER_SIZE = _UUIDS_AT + 4 * 16 - MAGIC_OFFSET - len(MAGIC) - 4
_SIZE = 16


def vdi_with_own_ids(original: Path, copy: Path, ids: DiskIds) -> AssociatedFile:
    """*copy* with the UUIDs in *ids*. Raises RefusedError for another file."""

    def patches(file: BinaryIO, path: Path) -> tuple[Patch, ...]:
        head = read_exactly(file, MAGIC_OFFSET, len(MAGIC) + _VERSION.size, path)
        version, size = _VERSION.unpack(head[len(MAGIC) :])
        if not head.startswith(MAGIC) or version >> 16 != 1 or size < _HEADER_SIZE:
            raise RefusedError(
                f"{shown(path)} is not a VDI of version 1.1", hint="Name a copy of the disk."
            )
        old = read_exactly(file, _UUIDS_AT, 4 * _SIZE, path)
        given = (ids.image, ids.modification, ids.parent, ids.parent_modification)
        return tuple(
            Patch(_UUIDS_AT + at, old[at : at + _SIZE], uuid.UUID(new).bytes_le)
            for at, new in zip(range(0, 4 * _SIZE, _SIZE), given, strict=True)
            if new
        )

    return with_own_ids(
        original,
        copy,
        patches,
        what=f"UUID {ids.image}",
        awaited=f"then VBoxManage internalcommands sethduuid {shown(copy)} {ids.image}",
    )
