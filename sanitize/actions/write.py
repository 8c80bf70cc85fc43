"""Write a whole file: an existing one in place, a missing one new.

Details: ``text`` (the content, never a secret: plans are printed); for a file that does not exist
yet ``mode`` (permission bits, 0644 unless given) and ``like`` (a path whose owner and SELinux
label it takes); ``instead_of_link``, true when a symlink at the target is to become a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.guest import parent
from unclone.images.text import printable
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Write:
    """Afterwards the file at the target holds exactly the text."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Keep inode, owner, mode and label of a file that is there."""
        content = _content(change)
        if change.details.get("instead_of_link") and _is_link(guest, change.target):
            guest.remove(change.target)
        if guest.exists(change.target):
            guest.write(change.target, content)
            return ""
        _make_folders(guest, parent(change.target))
        guest.create(
            change.target,
            content,
            like=change.details.get("like", ""),
            mode=change.details.get("mode", 0o644),
        )
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Read the file back."""
        content = _content(change)
        if change.details.get("instead_of_link") and _is_link(guest, change.target):
            return f"{printable(change.target)} is still a symlink"
        if not guest.is_file(change.target):
            return f"{printable(change.target)} is not there"
        # One byte more than expected, so that a longer file does not pass.
        if guest.read(change.target, len(content) + 1) != content:
            return f"{printable(change.target)} does not hold what was written"
        return ""


def _content(change: Change) -> bytes:
    text: str = change.details["text"]
    return text.encode("utf-8", "surrogateescape")


def _is_link(guest: Guest, path: str) -> bool:
    found = guest.lstat(path)
    return found is not None and found.kind is Kind.SYMLINK


def _make_folders(guest: Guest, folder: str) -> None:
    if guest.is_dir(folder):
        return
    _make_folders(guest, parent(folder))
    guest.make_directory(folder)
