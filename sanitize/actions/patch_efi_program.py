"""Replace identifiers inside an unsigned EFI program, at equal length.

Details: ``identifiers``, as in replace-identifiers. Only the sections that hold what a person
configured are touched: the command line of a unified kernel image, and what is built into GRUB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.actions.replace_identifiers import rewriter_of
from unclone.sanitize.boot import pe
from unclone.sanitize.boot.efi_programs import CONFIGURED, SIZE_LIMIT, configured

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class PatchEfiProgram:
    """Afterwards neither section refers to an old identifier, and nothing in the file has moved."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Raises RefusedError for a signed program; the plan does not ask for that."""
        rewriter = rewriter_of(change)
        before = guest.read(change.target, SIZE_LIMIT)
        after = before
        for section in CONFIGURED:
            after = pe.patched(after, section, rewriter.rewritten)
        if after != before:
            guest.write(change.target, after)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Read the sections again."""
        if not guest.exists(change.target):
            return ""
        rewriter = rewriter_of(change)
        content = guest.read(change.target, SIZE_LIMIT)
        if rewriter.found(configured(content)):
            return f"{printable(change.target)} still refers to an old identifier"
        return ""
