"""The file allocation table: chains of clusters, followed, freed and made.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 13 to 22 (entries of
the three widths, end of chain, FSInfo).
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from images.engines.direct.block_file import BlockFile
    from images.engines.direct.fat.boot import Boot

_INFO = struct.Struct("<I")
_FREE_COUNT, _INFO_MAGIC = 488, b"rrAa"
_UNKNOWN = 0xFFFFFFFF


class Allocation:
    """The FAT of *volume*, held in memory; every change goes to all its copies at once."""

    def __init__(self, volume: BlockFile, boot: Boot) -> None:
        self._volume = volume
        self._boot = boot
        self._raw = bytearray(volume.read(boot.fat_start, boot.fat_size))
        self._mask = (1 << min(boot.bits, 28)) - 1
        self._hint = 2

    def chain(self, first: int) -> list[int]:
        """The clusters from *first* on. Raises ``OSError(EIO)`` when they do not end well."""
        found: list[int] = []
        cluster = first
        while True:
            if not 2 <= cluster < self._boot.clusters + 2 or len(found) > self._boot.clusters:
                raise OSError(errno.EIO, "the file system is damaged: a chain leads nowhere")
            found.append(cluster)
            cluster = self.entry(cluster)
            if cluster >= self._mask - 7:  # ...FF8 to ...FFF: the end
                return found

    def entry(self, cluster: int) -> int:
        """What the table says of *cluster*: 0 free, the next one, or an end mark."""
        at, shift, width = self._place(cluster)
        return int.from_bytes(self._raw[at : at + width], "little") >> shift & self._mask

    def offset(self, cluster: int) -> int:
        """Where the content of *cluster* is on the volume."""
        return self._boot.data_start + (cluster - 2) * self._boot.cluster

    def allocate(self, count: int) -> list[int]:
        """Make a chain of *count* clusters. Raises ``OSError(ENOSPC)`` and changes nothing."""
        found: list[int] = []
        end = self._boot.clusters + 2
        for cluster in (*range(self._hint, end), *range(2, self._hint)):
            if len(found) == count:
                break
            if not self.entry(cluster):
                found.append(cluster)
        if len(found) < count:
            raise OSError(errno.ENOSPC, "no space left on the FAT file system")
        for cluster, following in zip(found, [*found[1:], self._mask], strict=True):
            self._set(cluster, following)
        if found:
            self._hint = found[-1] if found[-1] < end - 1 else 2
        self._count(-count)
        return found

    def append(self, last: int) -> int:
        """Make the chain that ends in *last* one cluster longer, and return that."""
        (cluster,) = self.allocate(1)
        self._set(last, cluster)
        return cluster

    def free(self, first: int) -> None:
        """Give back the chain from *first* on."""
        clusters = self.chain(first)
        for cluster in clusters:
            self._set(cluster, 0)
        self._count(len(clusters))

    # -- helpers ---------------------------------------------------------------------------
    def _place(self, cluster: int) -> tuple[int, int, int]:
        """Byte offset, bit shift and bytes of the entry for *cluster*."""
        if self._boot.bits == 12:
            return cluster + cluster // 2, 4 * (cluster & 1), 2
        return cluster * (self._boot.bits // 8), 0, self._boot.bits // 8

    def _set(self, cluster: int, value: int) -> None:
        at, shift, width = self._place(cluster)
        known = int.from_bytes(self._raw[at : at + width], "little")
        known = known & ~(self._mask << shift) | value << shift
        self._raw[at : at + width] = known.to_bytes(width, "little")
        for copy in range(self._boot.fats):
            start = self._boot.fat_start + copy * self._boot.fat_size
            self._volume.write(start + at, bytes(self._raw[at : at + width]))

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
