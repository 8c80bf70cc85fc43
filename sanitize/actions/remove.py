"""Remove a file, a symlink (never what it leads to) or a whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.guest import parent
from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Remove:
    """``details``: none."""

    def apply(self, guest: Guest, change: Change) -> str:
        # An earlier change may have taken it already, with the folder around it.
        if guest.exists(change.target):
            guest.remove(change.target)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        left = left_over(guest, change.target)
        return f"{printable(left)} is still there" if left else ""


def left_over(guest: Guest, path: str) -> str:
    """The first thing at or below *path* that a removal should have taken, or "".

    A mount point stays, and so does every folder above one, but nothing else in them.
    """
    if not guest.exists(path):
        return ""
    folder = guest.resolve(parent(path)).rstrip("/")
    physical = f"{folder}/{path.rstrip('/').rsplit('/', 1)[-1]}"
    if not any(m == physical or m.startswith(f"{physical}/") for m in guest.layout.mounts):
        return path
    inside = (left_over(guest, f"{physical}/{name}") for name in guest.list(physical))
    return next((left for left in inside if left), "")
