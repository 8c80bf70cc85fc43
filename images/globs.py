"""Patterns for names: ``*``, ``?`` and ``[...]``, as in a shell without its special cases."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


@lru_cache(maxsize=8192)  # thousands of paths are looked for, most of them several times
def matchers(path: str) -> Sequence[tuple[str, Callable[[str], object] | None]]:
    """The components of *path*, each with its :func:`matcher` if it is a pattern."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return [(part, matcher(part) if is_pattern(part) else None) for part in parts]
