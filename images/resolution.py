"""From a path to where it leads: symlinks followed inside one root, as the kernel does."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

#: As the kernel's: more symlinks than this in one lookup is a loop; the bytes of a path (PATH_MAX).
MAX_SYMLINKS, MAX_PATH = 40, 4095


def follow(
    path: str, kind: Callable[[str], Kind], link: Callable[[str], str], *, last: bool
) -> str:
    """The physical path of *path*; a symlink at its end is followed if *last*.

    *kind* and *link* tell of a physical path what it is (or raise FileNotFoundError) and, of a
    symlink, its text. The last component need not exist. Raises ``OSError`` with ``ELOOP`` or
    ``ENAMETOOLONG``, NotADirectoryError or FileNotFoundError as an open would.
    """
    if len(os.fsencode(path)) > MAX_PATH:
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
