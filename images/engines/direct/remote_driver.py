"""A mounted file system that another process has, as a :class:`.driver.Driver`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.images.engines.direct.driver import StatTuple

    #: Names with the type bits of their modes; and all about each, or about none.
    Scan = tuple[list[tuple[bytes, int]], list[StatTuple]]

#: Bytes of a file in one answer.
PIECE = 1024 * 1024


class RemoteDriver:
    """The file system with the number *handle*; *call* takes method, handle and arguments.

    It raises what a local file system would (``OSError``), EngineError when the process fails.
    """

    def __init__(self, call: Callable[..., Any], handle: int) -> None:
        self._remote = call
        self._handle = handle
        #: Inodes that the last scans returned, until something changes.
        self._stats: dict[bytes, StatTuple] = {}

    def close(self) -> None:
        self._remote("close", self._handle)

    def drop(self) -> None:
        """Nothing to do: it ends with the process."""

    def lstat(self, path: bytes) -> StatTuple:
        found: StatTuple = self._stats.get(path) or self._call("lstat", path)
        return found

    def scan(self, path: bytes) -> Sequence[tuple[bytes, int]]:
        names, stats = self._scan(path)
        base = path.rstrip(b"/")
        self._stats.update((base + b"/" + n[0], s) for n, s in zip(names, stats, strict=False))
        return names

    def _scan(self, path: bytes) -> Scan:
        found: Scan = self._call("scan", path)
        return found

    def readlink(self, path: bytes) -> bytes:
        return bytes(self._call("readlink", path))

    def read(self, path: bytes, limit: int) -> bytes:
        # In pieces, so that the other process holds one at a time.
        first: bytes = self._call("read", path, min(limit, PIECE), 0)
        if len(first) < PIECE or len(first) == limit:
            return first
        if (whole := self._read_here(path, limit)) is not None:
            return whole
        pieces = [first]
        got = len(first)
        while got < limit:
            wanted = min(limit - got, PIECE)
            piece: bytes = self._call("read", path, wanted, got)
            pieces.append(piece)
            got += len(piece)
            if len(piece) < wanted:
                break
        return b"".join(pieces)

    def _read_here(self, path: bytes, limit: int) -> bytes | None:  # noqa: ARG002
        """A large file, where this process can read it; else None."""
        return None

    def prefetch(self, directories: Sequence[bytes], files: Sequence[bytes]) -> None:
        """Nothing to do, unless there is something to gain."""

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        found: dict[str, bytes] = self._call("get_xattrs", path)
        return found

    def walk(
        self, path: bytes, exclude: Sequence[bytes], limit: int
    ) -> Iterator[tuple[bytes, StatTuple, bytes | None, bytes]]:
        walk = self._call("walk", path, list(exclude), limit)
        try:
            while batch := self._remote("walk_on", 0, walk):
                yield from batch
        finally:
            self._remote("walk_end", 0, walk)

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> Sequence[bytes]:
        found: list[bytes] = self._call("search", path, list(needles), list(exclude), limit)
        return found

    def write(self, path: bytes, content: bytes, keep: int) -> None:
        self._change("write", path, content, keep)

    def create(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        self._change("create", path, content, mode, uid, gid)

    def make_directory(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        self._change("make_directory", path, mode, uid, gid)

    def make_symlink(self, path: bytes, target: bytes) -> None:
        self._change("make_symlink", path, target)

    def remove(self, path: bytes) -> None:
        self._change("remove", path)

    def rename(self, old: bytes, new: bytes) -> None:
        self._change("rename", old, new)

    def set_owner(self, path: bytes, uid: int, gid: int) -> None:
        self._change("set_owner", path, uid, gid)

    def set_mode(self, path: bytes, mode: int) -> None:
        self._change("set_mode", path, mode)

    def set_xattr(self, path: bytes, name: str, value: bytes) -> None:
        self._change("set_xattr", path, name, value)

    def _change(self, method: str, *arguments: Any) -> None:  # noqa: ANN401  (as called)
        self._forget()
        self._call(method, *arguments)

    def _forget(self) -> None:
        """Something changes: what was read before does not count any more."""
        self._stats.clear()

    def _call(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401  (as called)
        return self._remote(method, self._handle, *arguments)
