"""A disk or partition as a file of the host, never read or written beyond its bounds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from images.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path


class BlockFile:
    """The *size* bytes of *path* (to its end when None) that begin at *start*."""

    def __init__(self, path: Path, start: int = 0, size: int | None = None) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._start = start
        self.size = os.fstat(self._descriptor).st_size - start if size is None else size

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*; fewer at the end."""
        count = min(count, self.size - offset)
        if count <= 0 or offset < 0:
            return b""
        try:
            return os.pread(self._descriptor, count, self._start + offset)
        except OSError as error:
            raise EngineError(f"the disk cannot be read: {error.strerror}") from error

    def write(self, offset: int, content: bytes) -> None:
        """Write all of *content* at *offset*."""
        if offset < 0 or offset + len(content) > self.size:
            raise EngineError("a write beyond the end of a partition was prevented")
        done = 0
        while done < len(content):
            at = self._start + offset + done
            try:
                done += os.pwrite(self._descriptor, content[done:], at)
            except OSError as error:
                raise EngineError(f"the disk cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Let go of it. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
