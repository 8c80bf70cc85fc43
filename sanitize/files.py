"""Finding files of a guest by patterns."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from unclone.images.guest import READ_LIMIT
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.guest import Guest

#: Boot partitions' usual places. The same file system may be reachable under two of them.
BOOT_ROOTS = ("/boot", "/boot/efi", "/efi", "/boot/firmware")

#: Of these the one below which patterns are written that hold for every EFI system partition.
ESP = "/boot/efi"

#: Bytes of a text file that is searched and edited. A larger one is never read in part: what may
#: be in it keeps its identifiers (:func:`too_large`).
TEXT_LIMIT = 16 * 1024 * 1024


def files_at(guest: Guest, patterns: Iterable[str], limit: int) -> Iterator[str]:
    """The physical path of every regular file of 1 to *limit* bytes *patterns* lead to, each once.

    A pattern may match a symlink: the path given is that of the file it leads to, because that is
    what a reader of the symlink gets, and what has to be changed.
    """
    yield from (path for path, size in _files(guest, patterns) if 0 < size <= limit)


def too_large(guest: Guest, patterns: Iterable[str], limit: int) -> Sequence[str]:
    """The physical path of every regular file of more than *limit* bytes *patterns* lead to."""
    return [path for path, size in _files(guest, patterns) if size > limit]


def dangling(guest: Guest, patterns: Iterable[str]) -> Sequence[str]:
    """Every symlink that *patterns* match and that leads to nothing in the mounted guest."""
    found = (path for pattern in on_every_esp(guest, patterns) for path in guest.glob(pattern))
    return list(dict.fromkeys(path for path in found if guest.stat(path) is None))


def on_every_esp(guest: Guest, patterns: Iterable[str]) -> Sequence[str]:
    """*patterns*, and those below ``/boot/efi`` for each FAT file system mounted elsewhere."""
    given = tuple(patterns)
    return [
        *given,
        *(
            esp + p.removeprefix(ESP)
            for esp in other_esps(guest)
            for p in given
            if p.startswith(f"{ESP}/")
        ),
    ]


def other_esps(guest: Guest) -> Sequence[str]:
    """Where FAT file systems are mounted, but for the usual places of boot file systems."""
    mounts = guest.layout.mounts_in_order
    return [m.mount_point for m in mounts if m.type == "vfat" and m.mount_point not in BOOT_ROOTS]


def read_whole(guest: Guest, path: str) -> bytes:
    """The content of a file to edit: what is written back must be all of it.

    Raises ``OSError(EFBIG)`` for more than ``READ_LIMIT`` bytes.
    """
    content = guest.read(path, READ_LIMIT + 1)
    if len(content) > READ_LIMIT:
        raise OSError(errno.EFBIG, "is too large to be edited", path)
    return content


def read_whole_text(guest: Guest, path: str) -> str:
    """As :func:`read_whole`, decoded as :meth:`unclone.images.guest.Guest.read_text` does."""
    return read_whole(guest, path).decode("utf-8", "surrogateescape")


def _files(guest: Guest, patterns: Iterable[str]) -> Iterator[tuple[str, int]]:
    seen: set[str] = set()
    for pattern in on_every_esp(guest, patterns):
        for path in guest.glob(pattern):
            stat = guest.stat(path)
            if stat is None or stat.kind is not Kind.FILE:
                continue
            physical = guest.resolve(path)
            if physical not in seen:
                seen.add(physical)
                yield physical, stat.size
