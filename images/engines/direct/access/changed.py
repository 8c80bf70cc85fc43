"""Which parts of a disk have been written to, known to every process that works on it."""

from __future__ import annotations

import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of a disk that share a mark.
_BITS = 16


class Changed:
    """A byte for each 64 KiB of a disk, in a file that every process maps: 1 after a write."""

    def __init__(self, path: bytes | Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            self._marks = mmap.mmap(file, 0)
        finally:
            os.close(file)

    @staticmethod
    def make(path: Path, size: int) -> None:
        """Make the file for a disk of *size* bytes, without a mark."""
        with path.open("xb") as file:
            path.chmod(0o600)
            file.truncate((size >> _BITS) + 1)

    def mark(self, offset: int, count: int) -> None:
        """Say that *count* bytes at *offset* are, or may be, different now."""
        first, last = offset >> _BITS, (offset + max(count, 1) - 1) >> _BITS
        self._marks[first : last + 1] = b"\1" * (last + 1 - first)

    def touches(self, offset: int, count: int) -> bool:
        """Whether any of *count* bytes at *offset* may be different."""
        return self._marks.find(b"\1", offset >> _BITS, (offset + count - 1 >> _BITS) + 1) >= 0

    @property
    def anything(self) -> bool:
        """Whether there is any mark at all."""
        return self._marks.find(b"\1") >= 0

    def close(self) -> None:
        """Let go of the file."""
        self._marks.close()
