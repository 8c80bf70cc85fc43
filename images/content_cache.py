"""A cache of the contents of files: many rules read the same ones, or their beginnings."""

from __future__ import annotations

#: Bytes of one file, and of all that are kept. An initrd of usual size is among them.
_ONE, _ALL = 32 * 1024 * 1024, 48 * 1024 * 1024


class ContentCache:
    """Contents of files and beginnings of them, by physical path; the oldest give way."""

    def __init__(self) -> None:
        #: What was read, and whether that is the whole file.
        self._contents: dict[str, tuple[bytes, bool]] = {}
        self._size = 0

    def get(self, path: str, limit: int) -> bytes | None:
        """The first *limit* bytes of the file at *path*; None when they are not cached."""
        content, whole = self._contents.get(path, (b"", False))
        return content[:limit] if whole or len(content) >= limit > 0 else None

    def keep(self, path: str, content: bytes, limit: int) -> bytes:
        """Return *content*, read from *path* with *limit*, and cache it if it is not large."""
        if len(content) <= _ONE:
            self._drop(path)
            self._contents[path] = content, len(content) < limit
            self._size += len(content)
            while self._size > _ALL:
                self._drop(next(iter(self._contents)))
        return content

    def clear(self) -> None:
        """Forget everything."""
        self._contents.clear()
        self._size = 0

    def _drop(self, path: str) -> None:
        self._size -= len(self._contents.pop(path, (b"", False))[0])
