"""Replace identifiers inside U-Boot's environment, a file with a checksum.

Details: ``identifiers``, as in replace-identifiers, and ``environments``: offset and size of each
in the file. The checksums are made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.actions.replace_identifiers import rewriter_of
from unclone.sanitize.boot import uboot_environment
from unclone.sanitize.files import read_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change
    from unclone.sanitize.renewal import Rewriter


class RewriteUBootEnvironment:
    """Afterwards U-Boot takes each environment, and nothing in the file is an old identifier."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Raises RefusedError for what U-Boot does not take; the plan does not ask for that."""
        before = read_whole(guest, change.target)
        after = rewritten(before, _environments(change), rewriter_of(change))
        if after is None:
            raise RefusedError(
                f"{printable(change.target)} is not an environment that U-Boot takes"
            )
        if after != before:
            guest.write(change.target, after)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """The checksums, and the whole content."""
        if not guest.exists(change.target):
            return ""
        content = read_whole(guest, change.target)
        for offset, size in _environments(change):
            if not uboot_environment.is_intact(content[offset : offset + size]):
                return f"{printable(change.target)} is not an environment that U-Boot takes"
        if rewriter_of(change).found(content):
            return f"{printable(change.target)} still refers to an old identifier"
        return ""


def rewritten(
    content: bytes, environments: Sequence[tuple[int, int]], rewriter: Rewriter
) -> bytes | None:
    """*content* with new identifiers; None where U-Boot does not take an environment in it."""
    for offset, size in environments:
        part = content[offset : offset + size]
        changed = uboot_environment.rewritten(part, rewriter.rewritten)
        if changed is None:
            return None
        content = content[:offset] + changed + content[offset + size :]
    return content


def _environments(change: Change) -> Sequence[tuple[int, int]]:
    return [(offset, size) for offset, size in change.details["environments"]]
