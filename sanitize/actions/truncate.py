"""Empty a file and keep it: the same inode, owner, mode and label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Truncate:
    """``details``: none. Programs that only append (``wtmp``) never make the file themselves."""

    def apply(self, guest: Guest, change: Change) -> str:
        if guest.is_file(change.target):
            guest.write(change.target, b"")
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        found = guest.stat(change.target)
        if found is None or found.size == 0:
            return ""
        return f"{printable(change.target)} still holds {found.size} bytes"
