"""Which parts of a disk have been written to, known to every process that works on it."""

from __future__ import annotations

import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The size of a region as a power of two: 64 KiB, QEMU's default cluster.
REGION_BITS = 16
REGION = 1 << REGION_BITS


class DirtyMap:
    """A byte for each region of 64 KiB, in a file that every process maps: 1 after a write."""

    def __init__(self, path: bytes | Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._map = mmap.mmap(file, 0)
        finally:
            os.close(file)

    @staticmethod
    def make(path: Path, size: int) -> None:
        """Make the file for a disk of *size* bytes, with everything clean. Raises OSError.

        It takes its space now: a page that could not be stored later would end the process.
        """
        with path.open("xb") as file:
            path.chmod(0o600)
            os.posix_fallocate(file.fileno(), 0, (size >> REGION_BITS) + 1)

    def mark(self, offset: int, count: int) -> None:
        """Mark *count* bytes at *offset* as dirty; called before they are written."""
        first, last = offset >> REGION_BITS, (offset + max(count, 1) - 1) >> REGION_BITS
        self._map[first : last + 1] = b"\1" * (last + 1 - first)

    def clean_in(self, offset: int, count: int) -> Iterator[int]:
        """The numbers of the regions within *count* bytes at *offset* that are clean."""
        end = (offset + count - 1 >> REGION_BITS) + 1
        at = self._map.find(b"\0", offset >> REGION_BITS, end)
        while at >= 0:
            yield at
            at = self._map.find(b"\0", at + 1, end)

    def is_dirty(self, offset: int, count: int) -> bool:
        """Whether any of *count* bytes at *offset* may have been written to."""
        first, end = offset >> REGION_BITS, (offset + count - 1 >> REGION_BITS) + 1
        return self._map.find(b"\1", first, end) >= 0

    @property
    def dirty(self) -> list[int]:
        """The numbers of the regions that may have been written to, in order."""
        found = []
        at = self._map.find(b"\1")
        while at >= 0:
            found.append(at)
            at = self._map.find(b"\1", at + 1)
        return found

    def close(self) -> None:
        """Close the file."""
        self._map.close()
