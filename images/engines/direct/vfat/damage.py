"""A check of the cluster chains and directories of a FAT file system.

Lost clusters and different copies of the table do no harm; they are not reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.engines.direct.vfat.allocation import Allocation
from unclone.images.engines.direct.vfat.directory import Directory
from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.blocks import OpenBlocks
    from unclone.images.file_systems.fat_boot_sector import BootSector


def find_damage(volume: OpenBlocks, boot: BootSector) -> str:
    """A description of what is wrong with *volume*; "" when nothing is."""
    fat = Allocation(volume, boot)
    used: set[int] = set()
    try:
        if boot.root_cluster:
            used.update(fat.chain(boot.root_cluster))
        pending = [Directory(volume, boot, fat, boot.root_cluster)]
        while pending:
            for entry in pending.pop().entries:
                name = printable(entry.name)
                clusters = fat.chain(entry.cluster) if entry.cluster else []
                size = len(clusters) * boot.cluster
                if not used.isdisjoint(clusters):
                    return f"{name} shares clusters with another file"
                if entry.is_directory and not clusters:
                    return f"the directory {name} has no content"
                if not entry.is_directory and not 0 <= size - entry.size < boot.cluster:
                    return f"{name} has {size} bytes for {entry.size}"
                used.update(clusters)
                if entry.is_directory:
                    pending.append(Directory(volume, boot, fat, entry.cluster))
    except OSError as error:
        return error.strerror or str(error)
    return ""
