"""Replace identifiers of devices inside a file, or in the text of a symlink.

Details: ``identifiers``, a list of ``{"kind", "device", "old", "new"}``. Every spelling of *old*
becomes the same spelling of *new* (``renewal``); length and every other byte stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unclone.images.text import printable
from unclone.images.volumes import IdentifierKind, Kind
from unclone.sanitize.files import read_whole
from unclone.sanitize.renewal import OtherKind, Renewal, Rewriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class ReplaceIdentifiers:
    """Afterwards no old identifier is in it. Applying it twice is applying it once."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Write the file in place; a symlink is made anew."""
        rewriter = rewriter_of(change)
        if _is_symlink(guest, change.target):
            text = guest.readlink(change.target)
            changed = rewriter.rewritten_text(text)
            if changed != text:
                guest.remove(change.target)
                guest.make_symlink(change.target, changed)
            return ""
        content = read_whole(guest, change.target)
        rewritten = rewriter.rewritten(content)
        if rewritten != content:
            guest.write(change.target, rewritten)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """No old identifier is there, or the file itself is not.

        A later step may have renamed or removed it; the residue scan looks at all there is.
        """
        if not guest.exists(change.target):
            return ""
        if _is_symlink(guest, change.target):
            content = guest.readlink(change.target).encode("utf-8", "surrogateescape")
        else:
            content = read_whole(guest, change.target)
        left = rewriter_of(change).found(content)
        if left:
            old = next(iter(left)).old
            return f"{printable(change.target)} still refers to {printable(old, 64)}"
        return ""


def as_details(renewals: Iterable[Renewal]) -> dict[str, Any]:
    """*renewals* as the details of a change."""
    return {
        "identifiers": [
            {"kind": each.kind.value, "device": each.device, "old": each.old, "new": each.new}
            for each in renewals
        ]
    }


def rewriter_of(change: Change) -> Rewriter:
    """What :func:`as_details` put into *change*."""
    return Rewriter(
        Renewal(_kind(one["kind"]), one["device"], one["old"], one["new"])
        for one in change.details["identifiers"]
    )


def _kind(name: str) -> IdentifierKind | OtherKind:
    return OtherKind(name) if name in set(OtherKind) else IdentifierKind(name)


def _is_symlink(guest: Guest, path: str) -> bool:
    stat = guest.lstat(path)
    return stat is not None and stat.kind is Kind.SYMLINK
