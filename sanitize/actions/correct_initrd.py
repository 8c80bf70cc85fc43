"""Correct the identifiers inside an initrd. Details: ``identifiers``, as in replace-identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.actions.replace_identifiers import rewriter_of
from unclone.sanitize.boot.overriding import correct
from unclone.sanitize.initrds import SIZE_LIMIT

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.boot.initrd import Hit, Survey
    from unclone.sanitize.change import Change
    from unclone.sanitize.renewal import Rewriter


class CorrectInitrd:
    """Afterwards nothing that the initrd unpacks to refers to an old identifier."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Append what overrides the old members. Returns how many bytes."""
        rewriter = rewriter_of(change)
        content = guest.read(change.target, SIZE_LIMIT)
        found = initrds.look_into(content, rewriter.needles)
        correction = correct(content, found, rewriter.rewritten)
        if not correction.tail:
            return ""
        guest.write(change.target, correction.tail, keep=correction.keep)
        return f"{len(correction.tail)} bytes appended"

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Unpack it again, as the kernel will."""
        if not guest.exists(change.target):
            return ""
        rewriter = rewriter_of(change)
        content = guest.read(change.target, SIZE_LIMIT)
        found = initrds.look_into(content, rewriter.needles)
        if found.unreadable:
            return f"{printable(change.target)} cannot be read: {found.unreadable}"
        left = next((hit for hit in found.hits if is_reference(found, hit, rewriter)), None)
        if left is not None:
            return (
                f"{printable(change.target)} still has the old identifier in {printable(left.path)}"
            )
        return ""


def is_reference(found: Survey, hit: Hit, rewriter: Rewriter) -> bool:
    """Whether *hit* is an old identifier that something can read, not only a part of one."""
    if hit.harmless:
        return False
    member = found.members.get(hit.path)
    texts = [found.contents.get(hit.path, b""), *([member.header.name] if member else ())]
    return any(rewriter.found(text) for text in texts)
