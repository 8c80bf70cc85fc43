"""The engine's side of ``ext/worker.py``: ext file systems, opened in a process of their own."""

from __future__ import annotations

import marshal
import struct
from typing import TYPE_CHECKING, Any

from unclone.images.engines.direct.ext.contents import read_runs
from unclone.images.engines.direct.helpers import WORKER, HelperProcess
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.direct.access.disk import Disk
    from unclone.images.engines.direct.driver import StatTuple
    from unclone.images.file_systems.ext_superblock import Superblock

#: Seconds that one call may take; removing a tree of 100,000 files takes a few.
LIMIT = 120.0

#: Bytes of a file in one answer.
_PIECE = 1024 * 1024
_LENGTH = struct.Struct("<I")


class ExtWorker:
    """A worker process, started at once."""

    def __init__(self) -> None:
        self._process = HelperProcess(WORKER, "the ext file system worker")

    def open(self, disk: Disk, offset: int, superblock: Superblock, *, writable: bool) -> ExtClient:
        """Open the file system that begins at byte *offset* of *disk*."""
        try:
            place = disk.place.as_plain()
            handle = self.call("open", 0, place, offset, superblock.raw, writable)
        except OSError as error:
            raise EngineError(f"the {superblock.type} file system cannot be opened: {error}") from (
                error
            )
        return ExtClient(self, handle, disk, offset)

    def call(self, method: str, handle: int, *arguments: Any) -> Any:  # noqa: ANN401  (as called)
        """Have *method* carried out.

        Raises what a local file system would (``OSError``), EngineError when the worker fails.
        """
        body = marshal.dumps((method, handle, arguments))
        self._process.send(_LENGTH.pack(len(body)) + body)
        (length,) = _LENGTH.unpack(self._process.receive(_LENGTH.size, limit=LIMIT))
        kind, *answer = marshal.loads(self._process.receive(length, limit=LIMIT))  # noqa: S302
        if kind == "done":
            return answer[0]
        if kind == "os":
            raise OSError(*answer)
        raise EngineError(f"the ext file system worker failed: {answer[0]}")

    def require_ready(self) -> None:
        """Raise EngineError when it cannot work, for want of a library."""
        self.call("ready", 0)

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed the worker."""
        self._process.require_alive()

    def end(self) -> None:
        """End the worker. File systems that are still open are not saved."""
        self._process.kill()


class ExtClient:
    """One file system, with the methods of ``ExtFileSystem``."""

    def __init__(self, worker: ExtWorker, handle: int, disk: Disk, offset: int) -> None:
        self._worker = worker
        self._handle = handle
        self._disk = disk
        self._offset = offset
        #: Inodes that the last scans returned, until something changes.
        self._stats: dict[bytes, StatTuple] = {}

    def close(self) -> None:
        self._worker.call("close", self._handle)

    def drop(self) -> None:
        """Nothing to do: it ends with the worker."""

    def lstat(self, path: bytes) -> StatTuple:
        found: StatTuple = self._stats.get(path) or self._call("lstat", path)
        return found

    def scan(self, path: bytes) -> Sequence[tuple[bytes, int]]:
        names: list[tuple[bytes, int]]
        stats: list[StatTuple]
        names, stats = self._call("scan", path)
        base = path.rstrip(b"/")
        self._stats.update((base + b"/" + n[0], s) for n, s in zip(names, stats, strict=False))
        return names

    def readlink(self, path: bytes) -> bytes:
        return bytes(self._call("readlink", path))

    def read(self, path: bytes, limit: int) -> bytes:
        # In pieces, so that the worker holds one at a time.
        first: bytes = self._call("read", path, min(limit, _PIECE), 0)
        if len(first) < _PIECE or len(first) == limit:
            return first
        if (whole := self._read_here(path, limit)) is not None:
            return whole
        pieces = [first]
        got = len(first)
        while got < limit:
            wanted = min(limit - got, _PIECE)
            piece: bytes = self._call("read", path, wanted, got)
            pieces.append(piece)
            got += len(piece)
            if len(piece) < wanted:
                break
        return b"".join(pieces)

    def _read_here(self, path: bytes, limit: int) -> bytes | None:
        """A large file, read by this process where nothing of it has changed."""
        size, runs = self._call("runs", path)
        if runs is None:
            return None
        return read_runs(
            runs,
            0,
            min(size, limit),
            lambda start, count: self._disk.unchanged(self._offset + start, count),
        )

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        found: dict[str, bytes] = self._call("get_xattrs", path)
        return found

    def walk(
        self, path: bytes, exclude: Sequence[bytes], limit: int
    ) -> Iterator[tuple[bytes, StatTuple, bytes | None, bytes]]:
        walk = self._call("walk", path, list(exclude), limit)
        try:
            while batch := self._worker.call("walk_on", 0, walk):
                yield from batch
        finally:
            self._worker.call("walk_end", 0, walk)

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
        self._stats.clear()
        self._call(method, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401  (as called)
        return self._worker.call(method, self._handle, *arguments)
