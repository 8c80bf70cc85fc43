"""Path resolution: symlinks are followed inside one root, as the kernel does."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

#: As in Linux: the symlinks in one lookup (more is a loop), the bytes of a path (PATH_MAX).
MAX_SYMLINKS, MAX_PATH = 40, 4095


def follow(
    path: str, kind: Callable[[str], Kind], link: Callable[[str], str], *, last: bool
) -> str:
    """The physical path of *path*; a symlink at its end is followed if *last*.

    *kind* returns what is at a physical path, or raises FileNotFoundError; *link* returns the text
    of a symlink. The last component need not exist. Raises ``OSError`` with ``ELOOP`` or
    ``ENAMETOOLONG``, NotADirectoryError or FileNotFoundError as an open would, the latter also for
    a path that no file can have.
    """
    try:
        raw = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # surrogates that stand for no byte, as JSON can have them
        raw = b"\0"
    if b"\0" in raw:
        raise FileNotFoundError(errno.ENOENT, "no file can have this path", path)
    if len(raw) > MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, "the path is too long", path)
    pending, done, links = _parts(path), list[str](), 0
    while pending:
        name = pending.pop(0)
        if name == "..":
            done = done[:-1]
            continue
        physical = "/" + "/".join([*done, name])
        if not pending and not last:
            return physical
        try:
            found = kind(physical)
        except FileNotFoundError:
            if pending:
                raise
            return physical
        if found is Kind.SYMLINK:
            links += 1
            if links > MAX_SYMLINKS:
                raise OSError(errno.ELOOP, "too many levels of symbolic links", path)
            target = link(physical)
            if target.startswith("/"):
                done = []
            pending = _parts(target) + pending
            continue
        if pending and found is not Kind.DIRECTORY:
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory in the guest", physical)
        done.append(name)
    return "/" + "/".join(done)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]
