"""Make an initrd's own copies of files what the files have become.

Details: ``members``, the path on disk by the member that is its copy. A file that is gone from the
disk is, in the initrd, a link that leads to nothing: what opens it finds no file.
"""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.boot.overriding import replaced

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.boot.initrd import Survey
    from unclone.sanitize.change import Change

ACTION = "follow-in-initrd"

#: Bytes. What identifies a machine is small; a larger file is no copy to be made.
SIZE_LIMIT = 1024 * 1024


class FollowInInitrd:
    """Afterwards each member holds what its file on the disk holds, or leads to nothing."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Append what overrides the old members. Returns how many bytes."""
        content, survey = _look(guest, change)
        wanted = {
            member: _wanted(guest, member, source) for member, source in _copies(change).items()
        }
        wanted = {m: w for m, w in wanted.items() if m in survey.members and _is(survey, m) != w}
        if not wanted:
            return ""
        correction = replaced(content, survey, wanted)
        guest.write(change.target, correction.tail, keep=correction.keep)
        return f"{len(correction.tail)} bytes appended"

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Unpack it again, as the kernel will."""
        _, survey = _look(guest, change)
        if survey.unreadable:
            return f"{printable(change.target)} cannot be read: {survey.unreadable}"
        for member, source in _copies(change).items():
            if _is(survey, member) != _wanted(guest, member, source):
                return f"{printable(member)} in {printable(change.target)} is not as {source}"
        return ""


def is_gone(survey: Survey, member: str) -> bool:
    """Whether an earlier run has made *member* lead to nothing."""
    found = survey.members.get(member)
    return found is None or _is(survey, member) == _nothing(member)


def _copies(change: Change) -> dict[str, str]:
    copies: dict[str, str] = change.details["members"]
    return copies


def _look(guest: Guest, change: Change) -> tuple[bytes, Survey]:
    content = guest.read(change.target, initrds.SIZE_LIMIT)
    return content, initrds.look_into(content, (), read=_copies(change))


def _wanted(guest: Guest, member: str, source: str) -> tuple[int, bytes]:
    """The type of inode, and the content, that *member* is to have."""
    if not guest.is_file(source):
        return _nothing(member)
    return stat.S_IFREG, guest.read(source, SIZE_LIMIT)


def _nothing(member: str) -> tuple[int, bytes]:
    # What opens the link for writing makes a file of the member's own beside it.
    return stat.S_IFLNK, f"{posixpath.basename(member)}.removed".encode("utf-8", "surrogateescape")


def _is(survey: Survey, member: str) -> tuple[int, bytes]:
    found = survey.members.get(member)
    kind = stat.S_IFMT(found.header.mode) if found else 0
    return kind, survey.contents.get(member, b"")
