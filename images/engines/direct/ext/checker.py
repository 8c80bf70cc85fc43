"""Runs ``e2fsck -fn`` on a copy of the file system without the contents of its files.

The copy is small, and made in runs of blocks. What was not copied is zeros in the copy, which are
no valid structure: if e2fsck reads such a part, it reports an error, and the engine has a copy of
everything checked. It cannot find a damaged file system clean, because all it has read that is not
zeros is what is on the disk.

It is a process of its own, like the worker, because what it reads was written by a guest.
"""

from __future__ import annotations

import marshal
import os
import resource
import struct
import sys

from unclone.images.engines.direct.access.disk import Disk, Place
from unclone.images.engines.direct.ext import memory
from unclone.images.engines.direct.ext.metadata import Metadata, UnusualError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: A status that e2fsck does not have.
NO_COPY = 200
#: Bytes between two places that are copied together, and of one read.
_GAP, _RUN = 4096, 1024 * 1024
#: Bytes of memory; what is larger is checked in another way.
_LIMIT = 64 * 1024 * 1024


def main() -> None:
    """Execute e2fsck on a copy; exit with status :data:`NO_COPY` when none can be made.

    Standard input has the place of the disk and the offset of the file system, marshalled.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    place, offset = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 (our own)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory.limit(), limit[1]))
    try:
        copy = copy_metadata(Disk(Place.from_plain(place)), offset)
        os.set_inheritable(copy, True)  # noqa: FBT003 (its signature)
    except (UnusualError, OSError, MemoryError, struct.error):
        os._exit(NO_COPY)
    resource.setrlimit(resource.RLIMIT_AS, limit)
    os.execvp("e2fsck", ["e2fsck", "-fn", f"/proc/self/fd/{copy}"])  # noqa: S606 (it is this process's purpose)


def copy_metadata(disk: Disk, offset: int) -> int:
    """Copy what a check reads of the file system at byte *offset* of *disk*: a file in memory.

    Raises UnusualError when the file system is of another kind or too large, OSError when it
    cannot be read.
    """
    metadata = Metadata(lambda start, count: disk.read(offset + start, count))
    file = os.memfd_create("metadata", os.MFD_CLOEXEC)
    try:
        os.ftruncate(file, metadata.size)
        runs = list(_runs(sorted(metadata.places()), metadata.size))
        _require_small(sum(end - start for start, end in runs))
        for start, end in runs:
            os.pwrite(file, disk.read(offset + start, end - start), start)
    except BaseException:
        os.close(file)
        raise
    return file


def _require_small(size: int) -> None:
    if size > _LIMIT:
        raise UnusualError


def _runs(places: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Start and end of the pieces, of limited length, that hold all *places* (sorted)."""
    begin = end = 0
    for start, length in places:
        if start > end + _GAP:
            yield from _pieces(begin, end)
            begin = start
        end = min(max(end, start + length), size)
    yield from _pieces(begin, end)


def _pieces(begin: int, end: int) -> Iterator[tuple[int, int]]:
    for start in range(begin, end, _RUN):
        yield start, min(start + _RUN, end)
