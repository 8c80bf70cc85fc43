"""What is in the containers of a guest, as its devices: the host opens them, the machine mounts it.

Only what the machine mounts, and swap, is supported there.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.containers.assembling import assemble
from unclone.images.engines.direct.access.dirty_map import REGION
from unclone.images.engines.direct.access.disk import Disk
from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.engines.direct.devices import Device
from unclone.images.engines.direct.partition_tables import read_table
from unclone.images.engines.direct.probing import probe
from unclone.images.file_systems import ext, swap
from unclone.images.file_systems.table import UNKNOWN
from unclone.images.identifiers.containers import LUKS, LVM, MD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.blocks import OpenBlocks
    from unclone.images.containers.luks import Unlocked
    from unclone.images.containers.volume import Volume
    from unclone.images.engines.engine import Keys

_CONTAINERS = {*LVM.names, *LUKS.names, *MD.names}
#: What may be in a container.
_TYPES = {"xfs", "btrfs", *ext.TYPE.names, *swap.TYPE.names, *_CONTAINERS, UNKNOWN}


@dataclass(frozen=True, slots=True)
class Contained(Device):
    """The content of a container, which may be on several disks: it has no *disk* of its own."""

    disk: Disk = field(init=False, compare=False, repr=False)
    volume: Volume = field(kw_only=True)

    def open(self) -> OpenBlocks:
        """The content as a file, on disks that are opened for it."""
        return self.volume.open()


class Containers:
    """The containers of one guest; each LUKS is unlocked once."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._unlocked: dict[str, Unlocked] = {}

    def open(self, devices: Sequence[Device]) -> tuple[Sequence[Contained], Sequence[str]]:
        """What is in the containers on *devices*, and why a container cannot be opened.

        Raises EngineError, and RefusedError for LUKS that no key opens.
        """
        members = [Apart(device) for device in devices if is_container(device)]
        if not members:
            return (), ()
        assembled = assemble(members, self._keys, self._unlocked)
        return [_contained(volume) for volume in assembled.volumes], assembled.reasons


def is_container(device: Device) -> bool:
    """Whether *device* is a container of which :class:`Containers` makes devices, or says why not.

    That is the outermost of containers in each other.
    """
    return device.type in _CONTAINERS and not isinstance(device, Contained)


@dataclass(frozen=True, slots=True)
class Apart:
    """*device* for a thread of its own: each time it is opened, its disk is opened anew."""

    device: Device

    @property
    def name(self) -> str:
        """Its name in the engine session."""
        return self.device.name

    @property
    def type(self) -> str:
        """The type of its content, as blkid names it."""
        return self.device.type

    def open(self) -> OpenBlocks:
        """Open it; the caller closes it."""
        return _OwnDisk(self.device)

    def own_edges(self) -> None:
        """Have no region of the disk's dirty map that another partition has a part of.

        Two processes must not copy a region to the scratch file at once.
        """
        with closing(self.open()) as blocks:
            for at in {0, blocks.size - 1}:
                if (self.device.start + at + (at > 0)) % REGION:
                    blocks.write(at, blocks.read(at, 1))


class _OwnDisk(BlockFile):
    """A device on a disk that is closed with it."""

    def __init__(self, device: Device) -> None:
        super().__init__(Disk(device.disk.place), device.start, device.size)

    def close(self) -> None:
        """Close the disk."""
        self._disk.close()


def _contained(volume: Volume) -> Contained:
    with closing(volume.open()) as blocks:
        content = probe(blocks)
        table = read_table(blocks) if content.type == UNKNOWN else None
    beyond = "" if content.type in _CONTAINERS else content.beyond
    if content.type in {"xfs", "btrfs"}:
        beyond = ""
    elif content.type not in _TYPES:
        beyond = f"{content.type} in a container"
    if table is not None:
        beyond = "a partition table in a container"
    return Contained(
        volume.name,
        0,
        volume.size,
        content._replace(ext=None, beyond=beyond),  # the machine opens ext there, not libext2fs
        mapper_uuid=volume.mapper_uuid,
        secret=volume.secret,
        volume=volume,
    )
