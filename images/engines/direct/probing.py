"""What is on a partition, in blkid's words; and whether it is within this engine's reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.engines.direct.ext.features import unsupported
from unclone.images.file_systems import ext, swap, vfat
from unclone.images.file_systems.table import UNKNOWN, recognise, type_of

if TYPE_CHECKING:
    from unclone.images.engines.direct.block_file import BlockFile
    from unclone.images.file_systems.ext_superblock import Superblock

#: Hashes are never opened: what they are over is.
_WITHIN_REACH = {*ext.TYPE.names, *vfat.TYPE.names, *swap.TYPE.names, "DM_verity_hash", UNKNOWN}


class Content(NamedTuple):
    """What a partition holds; ``type`` is blkid's word, ``unknown`` when it has none."""

    type: str = UNKNOWN
    uuid: str = ""
    label: str = ""
    ext: Superblock | None = None
    #: Why it is out of this engine's reach; "" when it is not.
    beyond: str = ""

    @property
    def says_clean(self) -> bool:
        """Whether it is an ext file system that a mount would take as it is."""
        return self.ext is not None and not self.ext.needs_check


def probe(volume: BlockFile) -> Content:
    """Find out what *volume* holds."""
    name = recognise(volume)
    kind = type_of(name)
    found = ext.superblock(volume) if name in ext.TYPE.names else None
    return Content(name, kind.read(volume), kind.label(volume), found, _beyond(name, found, volume))


def _beyond(name: str, superblock: Superblock | None, volume: BlockFile) -> str:
    if superblock is not None:
        return unsupported(superblock, volume.size)
    if name == "swsuspend":
        return "a hibernated system"
    return "" if name in _WITHIN_REACH else f"{name}, which only a kernel can open"
