"""A disk or partition as a file; accesses beyond its bounds are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from unclone.images.engines.direct.access.disk import Disk


class BlockFile:
    """The *size* bytes of *disk* (to its end when None) that begin at *start*."""

    def __init__(self, disk: Disk, start: int = 0, size: int | None = None) -> None:
        self._disk = disk
        self._start = start
        self.size = disk.size - start if size is None else size

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*; fewer at the end."""
        count = min(count, self.size - offset)
        if count <= 0 or offset < 0:
            return b""
        try:
            return self._disk.read(self._start + offset, count)
        except OSError as error:
            raise EngineError(f"the disk cannot be read: {error.strerror}") from error

    def write(self, offset: int, content: bytes) -> None:
        """Write all of *content* at *offset*."""
        if offset < 0 or offset + len(content) > self.size:
            raise EngineError("a write beyond the end of a partition was prevented")
        left = memoryview(content)
        while left:
            try:
                done = self._disk.write(self._start + offset, left)
            except OSError as error:
                raise EngineError(f"the disk cannot be written: {error.strerror}") from error
            offset, left = offset + done, left[done:]

    def close(self) -> None:
        """Nothing to do: the disk belongs to the caller."""
