"""The file allocation table: chains of clusters, followed, freed and made.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 13 to 22 (entries of
the three widths, end of chain, FSInfo).
"""

from __future__ import annotations

import errno
import struct
import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.direct.block_file import BlockFile
    from unclone.images.engines.direct.vfat.boot import Boot

_INFO = struct.Struct("<I")
_FREE_COUNT, _INFO_MAGIC = 488, b"rrAa"
_UNKNOWN = 0xFFFFFFFF


class Allocation:
    """The FAT of *volume*, held in memory; every change goes to all its copies at once."""

    def __init__(self, volume: BlockFile, boot: Boot) -> None:
        self._volume = volume
        self._boot = boot
        self._mask = (1 << min(boot.bits, 28)) - 1
        self._entries = _decoded(volume.read(boot.fat_start, boot.fat_size), boot)
        self._hint = 2

    def chain(self, first: int, limit: int | None = None) -> list[int]:
        """The clusters from *first* on, at most *limit*.

        Raises ``OSError(EIO)`` when they do not end well.
        """
        found: list[int] = []
        cluster = first
        end, table, mask = self._boot.clusters + 2, self._entries, self._mask
        while limit is None or len(found) < limit:
            if not 2 <= cluster < end or len(found) > end:
                raise OSError(errno.EIO, "the file system is damaged: a chain leads nowhere")
            found.append(cluster)
            cluster = table[cluster] & mask
            if cluster >= mask - 7:  # ...FF8 to ...FFF: the end
                break
        return found

    def read(self, clusters: Sequence[int]) -> bytes:
        """The content of *clusters*; neighbours are read at once."""
        parts: list[bytes] = []
        start = 0
        for index in range(1, len(clusters) + 1):
            if index == len(clusters) or clusters[index] != clusters[index - 1] + 1:
                count = (index - start) * self._boot.cluster
                parts.append(self._volume.read(self.offset(clusters[start]), count))
                start = index
        return b"".join(parts)

    def offset(self, cluster: int) -> int:
        """Where the content of *cluster* is on the volume."""
        return self._boot.data_start + (cluster - 2) * self._boot.cluster

    def allocate(self, count: int) -> list[int]:
        """Make a chain of *count* clusters. Raises ``OSError(ENOSPC)`` and changes nothing."""
        if not count:
            return []
        found: list[int] = []
        end = self._boot.clusters + 2
        for cluster in (*range(self._hint, end), *range(2, self._hint)):
            if len(found) == count:
                break
            if not self._entries[cluster] & self._mask:
                found.append(cluster)
        if len(found) < count:
            raise OSError(errno.ENOSPC, "no space left on the FAT file system")
        for cluster, following in zip(found, [*found[1:], self._mask], strict=True):
            self._set(cluster, following)
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
    def _set(self, cluster: int, value: int) -> None:
        self._entries[cluster] = self._entries[cluster] & ~self._mask | value
        bits = self._boot.bits
        if bits == 12:  # two entries share three bytes
            pair = cluster & ~1
            at = pair // 2 * 3
            shared = self._entries[pair] & 0xFFF
            if pair + 1 < len(self._entries):
                shared |= (self._entries[pair + 1] & 0xFFF) << 12
            raw = shared.to_bytes(3, "little")[: self._boot.fat_size - at]
        else:
            at = cluster * (bits // 8)
            raw = self._entries[cluster].to_bytes(bits // 8, "little")
        for copy in range(self._boot.fats):
            self._volume.write(self._boot.fat_start + copy * self._boot.fat_size + at, raw)

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


def _decoded(raw: bytes, boot: Boot) -> array[int]:
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
