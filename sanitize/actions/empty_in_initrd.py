"""Take machine-ids out of an initrd's own copies of the files that hold them.

Details: ``ids``, the old machine-ids; ``members``, which of :data:`MEMBERS` hold one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.boot.overriding import overridden
from unclone.sanitize.finder import Finder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.boot.initrd import Survey
    from unclone.sanitize.change import Change

ACTION = "empty-in-initrd"

#: The files whose lines are about the machine-id and nothing else.
MEMBERS = ("etc/machine-id", "etc/machine-info", "var/lib/dbus/machine-id")


class EmptyInInitrd:
    """Afterwards no line of those files holds one of the ids; other lines stay."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Append what overrides the old files. Returns how many bytes."""
        content, survey, finder = _look(guest, change)
        members = held_by(survey, finder)
        if not members:
            return ""
        contents = {path: _without(survey.contents[path], finder) for path in members}
        correction = overridden(content, survey, contents)
        guest.write(change.target, correction.tail, keep=correction.keep)
        return f"{len(correction.tail)} bytes appended"

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Unpack it again, as the kernel will."""
        if not guest.exists(change.target):
            return ""
        _, survey, finder = _look(guest, change)
        if survey.unreadable:
            return f"{printable(change.target)} cannot be read: {survey.unreadable}"
        left = held_by(survey, finder)
        return f"{printable(change.target)} still has the old id in {left[0]}" if left else ""


def held_by(survey: Survey, finder: Finder) -> Sequence[str]:
    """Which of :data:`MEMBERS` hold what *finder* looks for."""
    return [path for path in MEMBERS if any(finder.matches(survey.contents.get(path, b"")))]


def _look(guest: Guest, change: Change) -> tuple[bytes, Survey, Finder]:
    finder = Finder(change.details["ids"], words=False)
    content = guest.read(change.target, initrds.SIZE_LIMIT)
    return content, initrds.look_into(content, finder.needles), finder


def _without(text: bytes, finder: Finder) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join(line for line in lines if not any(finder.matches(line)))
