"""Empty a directory and keep it, with its owner, mode and label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.actions.remove import left_over

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Clear:
    """``details``: none."""

    def apply(self, guest: Guest, change: Change) -> str:
        for name in guest.list(change.target):
            guest.remove(f"{change.target}/{name}")
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        inside = (left_over(guest, f"{change.target}/{n}") for n in guest.list(change.target))
        left = next((left for left in inside if left), "")
        return f"{printable(left)} is still there" if left else ""
