"""The file allocation table: chains of clusters, followed, freed and made.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 13 to 22 (entries of
the three widths, end of chain, FSInfo).
"""

from __future__ import annotations

import errno
import struct
import sys
from array import array
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.blocks import OpenBlocks
    from unclone.images.file_systems.fat_boot_sector import BootSector

_INFO = struct.Struct("<I")
_FREE_COUNT, _INFO_MAGIC = 488, b"rrAa"
_UNKNOWN = 0xFFFFFFFF
_LOST = "the file system is damaged: a chain leads nowhere"


class Allocation:
    """The FAT of *volume*, held in memory; every change goes to all its copies at once."""

    def __init__(self, volume: OpenBlocks, boot: BootSector) -> None:
        self._volume = volume
        self._boot = boot
        self._mask = (1 << min(boot.bits, 28)) - 1
        self._entries = _decoded(volume.read(boot.fat_start, boot.fat_size), boot)
        self._hint = 2

    def chain(self, first: int, limit: int | None = None) -> list[int]:
        """The clusters from *first* on, at most *limit*.

        Raises ``OSError(EIO)`` when the chain is invalid.
        """
        found: list[int] = []
        cluster = first
        end, table, mask = self._boot.clusters + 2, self._entries, self._mask
        for _ in range(end if limit is None else min(limit, end)):
            if not 2 <= cluster < end:
                raise OSError(errno.EIO, _LOST)
            found.append(cluster)
            cluster = table[cluster] & mask
            if cluster >= mask - 7:  # ...FF8 to ...FFF: the end
                return found
        if limit is None or len(found) < limit:  # it comes back to itself
            raise OSError(errno.EIO, _LOST)
        return found

    def read(self, clusters: Sequence[int]) -> bytes:
        """The content of *clusters*; neighbours are read at once."""
        size = self._boot.cluster
        return b"".join(
            self._volume.read(self.offset(clusters[start]), (end - start) * size)
            for start, end in _runs(clusters)
        )

    def write(self, clusters: Sequence[int], content: bytes) -> None:
        """Make *content*, padded with zeros, that of *clusters*.

        What is the same already is not written; neighbours are written at once.
        """
        size = self._boot.cluster
        wanted = memoryview(content.ljust(len(clusters) * size, b"\0"))
        present = memoryview(self.read(clusters))
        changed = [
            number
            for number in range(len(clusters))
            if present[number * size : (number + 1) * size]
            != wanted[number * size : (number + 1) * size]
        ]
        targets = [clusters[number] for number in changed]
        for start, end in _runs(targets):
            # Neighbours on the volume need not be neighbours in the file.
            parts = [wanted[n * size : (n + 1) * size] for n in changed[start:end]]
            self._volume.write(self.offset(targets[start]), b"".join(parts))

    def offset(self, cluster: int) -> int:
        """Where the content of *cluster* is on the volume."""
        return self._boot.data_start + (cluster - 2) * self._boot.cluster

    def allocate(self, count: int) -> list[int]:
        """Make a chain of *count* clusters. Raises ``OSError(ENOSPC)`` and changes nothing."""
        if not count:
            return []
        found: list[int] = []
        end = self._boot.clusters + 2
        for cluster in chain(range(self._hint, end), range(2, self._hint)):
            if len(found) == count:
                break
            if not self._entries[cluster] & self._mask:
                found.append(cluster)
        if len(found) < count:
            raise OSError(errno.ENOSPC, "no space left on the FAT file system")
        self._set(dict(zip(found, [*found[1:], self._mask], strict=True)))
        self._hint = found[-1] if found[-1] < end - 1 else 2
        self._count(-count)
        return found

    def append(self, last: int, count: int = 1) -> list[int]:
        """Make the chain that ends in *last* longer by *count* clusters, and return those.

        Raises ``OSError(ENOSPC)`` and changes nothing.
        """
        found = self.allocate(count)
        if found:
            self._set({last: found[0]})
        return found

    def free(self, first: int) -> None:
        """Free the chain from *first* on."""
        clusters = self.chain(first)
        self._set(dict.fromkeys(clusters, 0))
        self._count(len(clusters))

    def end(self, last: int, rest: int) -> None:
        """End a chain after *last*, and free the rest, from *rest* on."""
        self.free(rest)
        self._set({last: self._mask})

    # -- helpers ---------------------------------------------------------------------------
    def _set(self, values: Mapping[int, int]) -> None:
        for cluster, value in values.items():
            self._entries[cluster] = self._entries[cluster] & ~self._mask | value
        changed = sorted(values)
        for start, end in _runs(changed):
            at, raw = self._encoded(changed[start], changed[end - 1] + 1)
            for copy in range(self._boot.fats):
                self._volume.write(self._boot.fat_start + copy * self._boot.fat_size + at, raw)

    def _encoded(self, start: int, end: int) -> tuple[int, bytes]:
        """The entries from *start* to before *end* as they are in the table, and where."""
        if self._boot.bits == 12:  # two entries share three bytes
            start, end = start & ~1, end + 1 & ~1
            at = start // 2 * 3
            padded = [*self._entries[start:end], 0]
            pairs = zip(padded[:-1:2], padded[1::2], strict=False)
            raw = b"".join(
                (low & 0xFFF | (high & 0xFFF) << 12).to_bytes(3, "little") for low, high in pairs
            )
            return at, raw[: self._boot.fat_size - at]
        part = self._entries[start:end]
        if sys.byteorder == "big":
            part.byteswap()
        return start * (self._boot.bits // 8), part.tobytes()

    def _count(self, freed: int) -> None:
        """Correct the count of free clusters that FAT32 keeps besides."""
        if not self._boot.info:
            return
        raw = self._volume.read(self._boot.info, 512)
        (free,) = _INFO.unpack_from(raw, _FREE_COUNT)
        if raw[484:488] == _INFO_MAGIC:
            value = free + freed if free != _UNKNOWN else _UNKNOWN
            if not 0 <= value <= self._boot.clusters:
                value = _UNKNOWN
            self._volume.write(self._boot.info + _FREE_COUNT, _INFO.pack(value))


def _runs(clusters: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The runs of consecutive clusters in *clusters*, as indices."""
    start = 0
    for index in range(1, len(clusters) + 1):
        if index == len(clusters) or clusters[index] != clusters[index - 1] + 1:
            yield start, index
            start = index


def _decoded(raw: bytes, boot: BootSector) -> array[int]:
    """The entries of the table *raw* by number, unused high bits of FAT32 included."""
    if boot.bits == 12:
        whole = len(raw) // 3 * 3
        entries = array("H")
        for low, middle, high in struct.iter_unpack("BBB", raw[:whole]):
            entries.append(low | (middle & 0xF) << 8)
            entries.append(middle >> 4 | high << 4)
        if len(raw) - whole == 2:
            entries.append(raw[-2] | (raw[-1] & 0xF) << 8)
        return entries
    entries = array("H" if boot.bits == 16 else "I", raw)
    if sys.byteorder == "big":
        entries.byteswap()
    return entries
