"""Write the machine's new name into one of the files that hold the old one.

What is written is found when it is done, so that other steps may edit the same file. Details:
``place``, a key of ``hostname.places.PLACES`` or ``hosts``; ``name``, the machine's new name, for
the places that decide; ``names``, old to new, for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.files import read_whole_text
from unclone.sanitize.hostname import hosts, places

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class SetHostName:
    """Afterwards no old name is where the machine's own is expected."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Edit the file in place; one that is missing is made."""
        if not guest.exists(change.target):
            content = f"{change.details['name']}\n"
            guest.create(change.target, content.encode("ascii"), like="/etc/fstab")
            return ""
        text = read_whole_text(guest, change.target)
        new = _rewritten(change, text)
        if new != text:
            guest.write(change.target, new.encode("utf-8", "surrogateescape"))
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        """Read the file back: there is nothing left to rewrite."""
        text = read_whole_text(guest, change.target)
        if _rewritten(change, text) != text:
            return f"{printable(change.target)} still has the old host name"
        return ""


def _rewritten(change: Change, text: str) -> str:
    if change.details["place"] == "hosts":
        return hosts.rewritten(text, change.details["names"])
    return places.rewritten(
        change.details["place"], text, change.details["name"], change.details["names"]
    )
