"""The worker: carries out calls on ext file systems for the engine that started it.

It is a process of its own, because libext2fs reads what a hostile guest wrote: a crash or an
endless loop here is an error in the engine, and the transaction discards the overlay.

A message is its length (4 bytes, little-endian) and a marshalled tuple. Requests: ``(method,
handle, arguments)``. Answers: ``("done", value)``, ``("os", errno, text)`` for what a local file
system would have raised, ``("failed", text)`` for everything else.
"""

from __future__ import annotations

import marshal
import os
import resource
import struct
import sys

from unclone.images.engines.direct.access.disk import Disk, Place
from unclone.images.engines.direct.ext import memory
from unclone.images.file_systems.ext_superblock import Superblock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, BinaryIO

    from unclone.images.engines.direct.ext.filesystem import ExtFileSystem
    from unclone.images.engines.direct.ext.reading import Met

    Answer = tuple[str, Any] | tuple[str, int, str]

_LENGTH = struct.Struct("<I")
#: Bytes of content and number of inodes in one answer to ``walk_on``.
_BATCH_BYTES = 1024 * 1024
_BATCH_INODES = 500


def main() -> None:
    """Answer requests from standard input on standard output until the former ends."""
    limit = memory.limit()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    answer = _answers()
    while (message := _receive(requests)) is not None:
        body = marshal.dumps(answer(*marshal.loads(message)))  # noqa: S302  (from the engine)
        answers.write(_LENGTH.pack(len(body)) + body)
        answers.flush()
    # The engine has ended, or has closed every file system: nothing to save.
    os._exit(0)


def _answers() -> Callable[[str, int, tuple[Any, ...]], Answer]:
    """What answers a request; without libext2fs, with the reason."""
    try:
        from unclone.images.engines.direct.ext.libext2fs import Ext2Error  # noqa: PLC0415 (it loads the library)
    except OSError as error:
        reason = f"libext2fs cannot be loaded: {error}"
        return lambda *_: ("failed", reason)
    worker = Worker()

    def answer(method: str, handle: int, arguments: tuple[Any, ...]) -> Answer:
        try:
            return "done", worker.answer(method, handle, arguments)
        except Ext2Error as error:
            if error.of_the_host:
                return "failed", f"the disk cannot be read or written: {error.strerror}"
            return "os", error.errno or 0, error.strerror or ""
        except OSError as error:
            return "os", error.errno or 0, error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 - the engine raises it again in its own process
            return "failed", f"{type(error).__name__}: {error}"

    return answer


class Worker:
    """Open file systems and walks, by number."""

    def __init__(self) -> None:
        from unclone.images.engines.direct.ext.filesystem import ExtFileSystem  # noqa: PLC0415 (as above)

        self._file_system = ExtFileSystem
        self._disks: dict[tuple[Any, ...], Disk] = {}
        self._open: dict[int, ExtFileSystem] = {}
        self._walks: dict[int, Iterator[Met]] = {}
        self._last = 0

    def answer(self, method: str, handle: int, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401
        """Carry out one request."""
        if method == "ready":
            return None
        if method == "open":
            return self._add(*arguments)
        if method == "close":
            self._open.pop(handle).close()
            return None
        if method == "walk":
            self._last += 1
            self._walks[self._last] = self._open[handle].walk(*arguments)
            return self._last
        if method == "walk_on":
            return self._walk_on(*arguments)
        if method == "walk_end":
            self._walks.pop(arguments[0], None)
            return None
        return getattr(self._open[handle], method)(*arguments)

    def _add(self, place: tuple[Any, ...], offset: int, superblock: bytes, *flags: bool) -> int:
        if place not in self._disks:
            self._disks[place] = Disk(Place.from_plain(place))
        disk = self._disks[place]
        opened = self._file_system(disk, offset, Superblock(superblock), writable=flags[0])
        self._last += 1
        self._open[self._last] = opened
        return self._last

    def _walk_on(self, walk: int) -> list[Met]:
        batch: list[Met] = []
        size = 0
        for met in self._walks[walk]:
            batch.append(met)
            size += len(met[2] or b"")
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_INODES:
                break
        return batch


def _receive(stream: BinaryIO) -> bytes | None:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    return stream.read(_LENGTH.unpack(head)[0])
