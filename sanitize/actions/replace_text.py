"""Replace exact strings inside a text file; every other byte stays.

Details: ``replacements``, a list of ``{"old", "new", "count"}`` where *count* is how often *old*
is there; ``block``, true for a GRUB environment block, whose size must not change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict

from unclone.images.text import printable
from unclone.sanitize.boot import grubenv
from unclone.sanitize.files import read_whole_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Replacement(TypedDict):
    """One string for another, *count* times."""

    old: str
    new: str
    count: int


class ReplaceText:
    """Afterwards every *old* string is its *new* one. Applying it twice is applying it once."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Replace all at once, so that no *new* string is taken for an *old* one."""
        text = read_whole_text(guest, change.target)
        changed = replaced(text, _replacements(change))
        if change.details.get("block"):
            changed = grubenv.refit(changed, len(text.encode("utf-8", "surrogateescape")))
        if changed != text:
            guest.write(change.target, changed.encode("utf-8", "surrogateescape"))
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """No old string is left, and the new ones are there at least as often as they replaced."""
        text = read_whole_text(guest, change.target)
        for one in _replacements(change):
            if one["old"] not in one["new"] and one["old"] in text:
                return f"{printable(change.target)} still has {printable(one['old'], 80)}"
            if one["new"] and text.count(one["new"]) < one["count"]:
                return f"{printable(change.target)} lacks {printable(one['new'], 80)}"
        return ""


def replaced(text: str, replacements: Sequence[Replacement]) -> str:
    """*text* with every replacement made in one pass, the longest match first."""
    new = {one["old"]: one["new"] for one in reversed(replacements)}
    longest_first = sorted(new, key=len, reverse=True)
    if not new:
        return text
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return pattern.sub(lambda match: new[match.group()], text)


def _replacements(change: Change) -> Sequence[Replacement]:
    found: Sequence[Replacement] = change.details["replacements"]
    return found
