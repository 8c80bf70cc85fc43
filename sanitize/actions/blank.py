"""Empty values inside a text file: what a group of an expression matches. Other bytes stay.

For secrets that a program makes again when their setting is empty, in a file that holds other
settings as well. The values are in no plan and no report.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.files import read_whole_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


class Blank:
    """``details``: ``values``, regular expressions, each with one group: what is emptied."""

    def apply(self, guest: Guest, change: Change) -> str:
        if guest.is_file(change.target):
            text = changed = read_whole_text(guest, change.target)
            for expression in change.details["values"]:
                changed = re.sub(expression, _without_group, changed)
            if changed != text:
                guest.write(change.target, changed.encode("utf-8", "surrogateescape"))
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        if not guest.is_file(change.target):
            return ""
        left = len(values(read_whole_text(guest, change.target), change.details["values"]))
        return f"{printable(change.target)} still has {left} of the values" if left else ""


def values(text: str, expressions: Sequence[str]) -> list[str]:
    """What the groups of *expressions* match in *text*, but for empty values."""
    found = (match[1] for each in expressions for match in re.finditer(each, text))
    return [value for value in found if value]


def _without_group(match: re.Match[str]) -> str:
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match[0][:start] + match[0][end:]
