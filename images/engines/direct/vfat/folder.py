"""One directory of a FAT file system: its entries, and room for more."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from unclone.images.engines.direct.vfat.directory import END, ENTRY, FREE, Entry, entries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.direct.block_file import BlockFile
    from unclone.images.engines.direct.vfat.allocation import Allocation
    from unclone.images.file_systems.fat_boot_sector import BootSector

#: Bytes; the specification's limit for a directory.
_DIRECTORY_LIMIT = 65536 * ENTRY


class Directory:
    """The entries of one directory, as they are now."""

    def __init__(self, volume: BlockFile, boot: BootSector, fat: Allocation, first: int) -> None:
        self._volume, self._boot, self._fat = volume, boot, fat
        self.first = first
        self._clusters: list[int] = []
        if first:
            self._clusters = fat.chain(first)
            if len(self._clusters) * boot.cluster > max(_DIRECTORY_LIMIT, boot.cluster):
                raise OSError(errno.EIO, "the file system is damaged: a directory without end")
            self.raw = fat.read(self._clusters)
        else:
            self.raw = volume.read(boot.root_start, boot.root_size)
        self.entries: Sequence[Entry] = tuple(_checked(entries(self.raw)))

    @property
    def parent_cluster(self) -> int:
        """What ``..`` of a directory in this one says: 0 when this is the root."""
        return 0 if self.first == self._boot.root_cluster else self.first

    def find(self, name: str) -> Entry | None:
        name = name.rstrip(". ") or name
        return next((entry for entry in self.entries if entry.is_called(name)), None)

    def write(self, slot: int, made: bytes) -> None:
        """Write the entries *made* from *slot* on."""
        at = slot * ENTRY
        while made:
            if self._clusters:
                number, inside = divmod(at, self._boot.cluster)
                place = self._fat.offset(self._clusters[number]) + inside
                part = made[: self._boot.cluster - inside]
            else:
                place, part = self._boot.root_start + at, made
            self._volume.write(place, part)
            at, made = at + len(part), made[len(part) :]

    def add(self, made: bytes) -> None:
        """Write the entries *made* where there is room for them."""
        slot = self._room_for(len(made) // ENTRY)
        self.write(slot, made)
        after = slot * ENTRY + len(made)
        ended = any(self.raw[n * ENTRY] == END for n in range(slot, after // ENTRY))
        if ended and after < len(self.raw) and self.raw[after] != END:
            self.write(after // ENTRY, bytes(ENTRY))  # what was beyond the end stays there

    def _room_for(self, count: int) -> int:
        """The first of *count* free slots in a row; the directory grows when it has to."""
        free = 0
        slots = len(self.raw) // ENTRY
        ended = False
        for slot in range(slots):
            first = self.raw[slot * ENTRY]
            ended = ended or first == END
            free = free + 1 if ended or first == FREE else 0
            if free == count:
                return slot - count + 1
        if not self._clusters:
            raise OSError(errno.ENOSPC, "the root directory is full")
        if len(self.raw) + self._boot.cluster > _DIRECTORY_LIMIT:
            raise OSError(errno.ENOSPC, "the directory is full")
        added = self._fat.append(self._clusters[-1])
        self._fat.write(added, b"")
        self._clusters += added
        self.raw += bytes(self._boot.cluster)
        return self._room_for(count)


def _checked(found: Iterator[Entry]) -> Iterator[Entry]:
    for entry in found:
        if "/" in entry.name or not entry.name or entry.name in {".", ".."}:
            raise OSError(errno.EIO, "the file system is damaged: a name with a slash")
        yield entry
