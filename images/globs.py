"""Patterns for names: ``*``, ``?`` and ``[...]``, as in a shell without its special cases."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MAGIC = re.compile(r"[*?\[]")


def is_pattern(name: str) -> bool:
    """Whether *name* stands for others."""
    return _MAGIC.search(name) is not None


def matcher(pattern: str) -> Callable[[str], object]:
    """A function that returns something true for a name that matches *pattern*."""
    before, _, after = pattern.partition("*")
    if is_pattern(before + after):
        return re.compile(fnmatch.translate(pattern)).match
    # Most have one star, for which compiling an expression takes as long as using it.
    shortest = len(before) + len(after)
    return lambda n: len(n) >= shortest and n.startswith(before) and n.endswith(after)
