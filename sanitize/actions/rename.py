"""Give a file or folder another name on the same file system. Details: ``to``, a guest path."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Rename:
    """Afterwards the thing at the target has the new name; nothing is ever replaced."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Done already when only the new name is there."""
        new: str = change.details["to"]
        if guest.exists(new):
            if guest.exists(change.target):
                raise FileExistsError(errno.EEXIST, "the new name is taken", new)
            return ""
        guest.rename(change.target, new)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Look for both names."""
        new: str = change.details["to"]
        if guest.exists(change.target):
            return f"{printable(change.target)} still has its old name"
        if not guest.exists(new):
            return f"{printable(new)} is not there"
        return ""
