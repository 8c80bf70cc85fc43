"""Files of ``KEY=value`` lines, with or without ``[sections]``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECTION = re.compile(r"\[([^\]]*)\]")
_SETTING = re.compile(r"(?:export\s+)?([A-Za-z0-9_.-]+)\s*=(.*)")


class Setting(NamedTuple):
    """One line ``key=value``; ``start`` to ``end`` are the line with its end."""

    section: str
    key: str
    value: str
    start: int
    end: int


def settings(text: str) -> Iterator[Setting]:
    """Every setting of *text*; comments (``#``, ``;``) and anything else are passed over."""
    section = ""
    start = 0
    for line in text.split("\n"):
        end = min(start + len(line) + 1, len(text))
        bare = line.strip()
        header = _SECTION.fullmatch(bare)
        setting = _SETTING.fullmatch(bare)
        if header:
            section = header.group(1)
        elif setting:
            yield Setting(section, setting.group(1), setting.group(2).strip(), start, end)
        start = end


def unquoted(value: str) -> str:
    """A shell word without the quotes around it."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
