"""The engine's side of ``ext/worker.py``: ext file systems, opened in a process of their own."""

from __future__ import annotations

import marshal
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from unclone.images.engines.direct.ext.contents import read_runs
from unclone.images.engines.direct.helpers import WORKER, HelperProcess
from unclone.images.engines.direct.remote_driver import RemoteDriver
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.engines.direct.access.disk import Disk
    from unclone.images.engines.direct.remote_driver import Scan
    from unclone.images.file_systems.ext_superblock import Superblock

#: Seconds that one call may take; removing a tree of 100,000 files takes a few.
LIMIT = 120.0

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

    @property
    def failure(self) -> EngineError | None:
        """Why it ended before it was told to, once that is known."""
        return self._process.failure

    def require_alive(self) -> None:
        """Raise KilledError when something else has killed the worker."""
        self._process.require_alive()

    def end(self) -> None:
        """End the worker. File systems that are still open are not saved."""
        self._process.kill()


class ExtClient(RemoteDriver):
    """One file system, with the methods of ``ExtFileSystem``."""

    def __init__(self, worker: ExtWorker, handle: int, disk: Disk, offset: int) -> None:
        super().__init__(worker.call, handle)
        self._disk = disk
        self._offset = offset
        #: What was read before it was asked for, until something changes.
        self._scans: dict[bytes, Scan] = {}
        self._contents: dict[bytes, bytes] = {}
        #: The links of the directories that were looked into, by directory.
        self._links: dict[bytes, dict[bytes, bytes]] = {}

    def prefetch(self, directories: Sequence[bytes], files: Sequence[bytes]) -> None:
        if len(directories) + len(files) > 1:
            scans, contents = self._call("prefetch", list(directories), list(files))
            self._scans.update(scans)
            self._contents.update(contents)

    def readlink(self, path: bytes) -> bytes:
        # The next link will mostly be one beside it.
        directory, _, name = path.rpartition(b"/")
        if directory not in self._links:
            self._links[directory] = {}
            with suppress(OSError):  # what cannot be listed may still be found by its name
                self._links[directory] = self._call("links", directory)
        target = self._links[directory].get(name)
        return super().readlink(path) if target is None else target

    def read(self, path: bytes, limit: int) -> bytes:
        content = self._contents.pop(path, None)
        return super().read(path, limit) if content is None else content[:limit]

    def _scan(self, path: bytes) -> Scan:
        return self._scans.pop(path, None) or super()._scan(path)

    def _forget(self) -> None:
        super()._forget()
        self._scans.clear()
        self._contents.clear()
        self._links.clear()

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
