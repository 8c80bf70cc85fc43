"""The type of a partition's content, and whether this engine supports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.engines.direct.ext.features import unsupported
from unclone.images.file_systems import ext, swap, vfat
from unclone.images.file_systems.table import UNKNOWN, recognise, type_of

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks
    from unclone.images.file_systems.ext_superblock import Superblock

#: A partition with dm-verity hashes is never opened, only the one that it is for.
_WITHIN_REACH = {*ext.TYPE.names, *vfat.TYPE.names, *swap.TYPE.names, "DM_verity_hash", UNKNOWN}


class Content(NamedTuple):
    """The content of a partition; ``type`` is the blkid name, or ``unknown``."""

    type: str = UNKNOWN
    uuid: str = ""
    label: str = ""
    ext: Superblock | None = None
    #: What this engine does not support; "" when it is supported.
    beyond: str = ""

    @property
    def says_clean(self) -> bool:
        """Whether it is an ext file system that needs no check before a mount."""
        return self.ext is not None and not self.ext.needs_check


def probe(volume: Blocks) -> Content:
    """Determine the content of *volume*."""
    name = recognise(volume)
    kind = type_of(name)
    found = ext.superblock(volume) if name in ext.TYPE.names else None
    return Content(name, kind.read(volume), kind.label(volume), found, _beyond(name, found, volume))


def _beyond(name: str, superblock: Superblock | None, volume: Blocks) -> str:
    if superblock is not None:
        return unsupported(superblock, volume.size)
    if name == "swsuspend":
        return "a hibernated system"
    return "" if name in _WITHIN_REACH else f"{name}, which only a kernel can open"
