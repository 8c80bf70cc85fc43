"""The devices of a guest: disks, their partitions, and what is on each.

Devices are named as the guestfs engine names them: ``/dev/sda`` is the first drive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.device_names import disk_name
from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.engines.direct.partition_tables import read_table
from unclone.images.engines.direct.probing import Content, probe
from unclone.images.volumes import FileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.blocks import OpenBlocks
    from unclone.images.engines.direct.access.disk import Disk
    from unclone.images.engines.direct.partition_tables import Partition, Table


@dataclass(frozen=True, slots=True)
class Device:
    """A disk or a partition: *size* bytes from byte *start* of *disk*."""

    name: str
    disk: Disk
    start: int
    size: int
    content: Content
    #: Of a disk with partitions.
    table: Table | None = None
    #: Of a partition, with the table that it is in.
    partition: Partition | None = None
    parent_table: Table | None = None
    #: Of what is in a container: as in :class:`FileSystem`.
    mapper_uuid: str = ""
    #: Whether it is encrypted on the disk: no copy of it may be there as it is.
    secret: bool = False

    @property
    def type(self) -> str:
        """The type of its content, as blkid names it."""
        return self.content.type

    @property
    def is_mountable(self) -> bool:
        """Whether it is one to mount or swap to, not a disk or partition with partitions."""
        return self.table is None and not (self.partition and self.partition.extended)

    def open(self) -> OpenBlocks:
        """The device as a file."""
        return BlockFile(self.disk, self.start, self.size)

    def file_system(self) -> FileSystem:
        """The device as a :class:`FileSystem`."""
        return FileSystem(
            device=self.name,
            type=self.content.type,
            uuid=self.content.uuid,
            label=self.content.label,
            partition_uuid=self.partition.uuid if self.partition else "",
            partition_label=self.partition.name if self.partition else "",
            size=self.size,
            partition_type=self.partition.type if self.partition else "",
            partition_attributes=self.partition.attributes if self.partition else 0,
            mapper_uuid=self.mapper_uuid,
        )


def read_devices(disks: Sequence[Disk]) -> Sequence[Device]:
    """All devices on *disks*, read now: each disk, followed by its partitions."""
    return [device for index, disk in enumerate(disks) for device in _on(disk, index)]


def _on(disk: Disk, index: int) -> Iterator[Device]:
    name = disk_name(index)
    whole = BlockFile(disk)
    table = read_table(whole)
    content = Content() if table else probe(whole)
    yield Device(name, disk, 0, disk.size, content, table=table)
    for partition in table.partitions if table else ():
        part = BlockFile(disk, partition.start, partition.size)
        yield Device(
            f"{name}{partition.number}",
            disk,
            partition.start,
            partition.size,
            Content() if partition.extended else probe(part),
            partition=partition,
            parent_table=table,
        )
