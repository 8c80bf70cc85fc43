"""The devices of a guest: disks, their partitions, and what is on each.

Devices are named as the guestfs engine names them: ``/dev/sda`` is the first drive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from images.engines.direct.block_file import BlockFile
from images.engines.direct.probing import Content, probe
from images.engines.direct.tables import read_table
from images.volumes import FileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from images.engines.direct.tables import Partition, Table


@dataclass(frozen=True, slots=True)
class Device:
    """A disk or a partition: *size* bytes from byte *start* of the host file *file*."""

    name: str
    file: Path
    start: int
    size: int
    content: Content
    #: Of a disk that is divided.
    table: Table | None = None
    #: Of a partition, with the disk's table.
    partition: Partition | None = None
    of: Table | None = None

    @property
    def type(self) -> str:
        """What is on it, in blkid's word."""
        return self.content.type

    @property
    def is_mountable(self) -> bool:
        """Whether it is something to mount or swap to, rather than a disk that is divided."""
        return self.table is None and not (self.partition and self.partition.extended)

    @property
    def for_tools(self) -> str:
        """How e2fsprogs name it."""
        return f"{self.file}?offset={self.start}" if self.start else str(self.file)

    def open(self) -> BlockFile:
        """The device as a file."""
        return BlockFile(self.file, self.start, self.size)

    def file_system(self) -> FileSystem:
        """The same as the rest of the program sees it."""
        return FileSystem(
            device=self.name,
            type=self.content.type,
            uuid=self.content.uuid,
            label=self.content.label,
            partition_uuid=self.partition.uuid if self.partition else "",
            partition_label=self.partition.name if self.partition else "",
            size=self.size,
        )


def read_devices(disks: Sequence[Path]) -> Sequence[Device]:
    """Every device on *disks*, as it is now: each disk, followed by its partitions."""
    return [device for index, disk in enumerate(disks) for device in _on(disk, index)]


def _on(path: Path, index: int) -> Iterator[Device]:
    name = f"/dev/sd{_letters(index)}"
    disk = BlockFile(path)
    try:
        table = read_table(disk)
        content = Content() if table else probe(disk)
        yield Device(name, path, 0, disk.size, content, table=table)
        for partition in table.partitions if table else ():
            part = BlockFile(path, partition.start, partition.size)
            try:
                content = Content() if partition.extended else probe(part)
            finally:
                part.close()
            yield Device(
                f"{name}{partition.number}",
                path,
                partition.start,
                partition.size,
                content,
                partition=partition,
                of=table,
            )
    finally:
        disk.close()


def _letters(index: int) -> str:
    """0: a, 25: z, 26: aa, as the kernel counts disks."""
    letters = ""
    while index >= 0:
        index, letter = divmod(index, 26)
        letters = chr(ord("a") + letter) + letters
        index -= 1
    return letters
