"""A cache of the contents of small files: many rules read the same ones."""

from __future__ import annotations

#: Bytes of one file, and of all that are kept.
_SMALL, _ALL = 64 * 1024, 16 * 1024 * 1024


class SmallFiles:
    """Whole contents, by physical path."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}
        self._size = 0

    def get(self, path: str) -> bytes | None:
        """The content of the file at *path*; None when it is not cached."""
        return self._contents.get(path)

    def keep(self, path: str, content: bytes, limit: int) -> bytes:
        """Return *content*, read from *path* with *limit*; cache it when it is the whole file."""
        if len(content) < limit and len(content) <= min(_SMALL, _ALL - self._size):
            self._contents[path] = content
            self._size += len(content)
        return content

    def clear(self) -> None:
        """Forget everything."""
        self._contents.clear()
        self._size = 0
