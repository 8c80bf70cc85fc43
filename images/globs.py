"""Glob patterns: ``*``, ``?`` and ``[...]``; a leading dot is not special."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MAGIC = re.compile(r"[*?\[]")

#: Paths; more are not kept for one beginning.
_KEPT = 1000

#: The kinds of the last component of a path, and of those before it.
_ALL, _PASSABLE = frozenset(Kind), frozenset({Kind.DIRECTORY, Kind.SYMLINK})


def is_pattern(name: str) -> bool:
    """Whether *name* has a wildcard."""
    return _MAGIC.search(name) is not None


def matcher(pattern: str) -> Callable[[str], object]:
    """A function that returns a true value for a name that matches *pattern*."""
    before, _, after = pattern.partition("*")
    if is_pattern(before + after):
        return re.compile(fnmatch.translate(pattern)).match
    # Most have one "*", for which compiling an expression takes as long as using it.
    shortest = len(before) + len(after)
    return lambda n: len(n) >= shortest and n.startswith(before) and n.endswith(after)


@lru_cache(maxsize=8192)  # thousands of patterns, most of them used several times
def matchers(path: str) -> Sequence[tuple[str, str, Callable[[str], object] | None]]:
    """The components of *path*: all up to it, itself, its :func:`matcher` if it is a pattern."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return [
        ("/".join(parts[:number]), part, matcher(part) if is_pattern(part) else None)
        for number, part in enumerate(parts, 1)
    ]


def expand(
    pattern: str,
    kinds: Callable[[str], Mapping[str, Kind]],
    has: Callable[[str, str], bool],
    ahead: Callable[[Sequence[str]], None] = lambda _: None,
    known: dict[str, list[str]] | None = None,
) -> Iterable[str]:
    """The paths that match *pattern*.

    *kinds* returns what each name in a directory is (nothing for what is not a directory), *has*
    whether a directory has a name. *ahead* is told of the directories that come next. In *known*
    is kept what the beginnings of patterns match, for those that begin alike.
    """
    found = [""]
    parts = matchers(pattern)
    known = {} if known is None else known
    first = next((n for n in range(len(parts) - 1, 0, -1) if parts[n - 1][0] in known), 0)
    if first:
        found = known[parts[first - 1][0]]
    for number, (beginning, part, matches) in enumerate(parts[first:], first + 1):
        if len(found) > 1:
            ahead(found)
        if matches is None:
            found = [f"{base}/{part}" for base in found if has(base, part)]
        else:
            wanted = _ALL if number == len(parts) else _PASSABLE
            found = [
                f"{base}/{name}"
                for base in found
                for name, kind in kinds(base).items()
                if kind in wanted and matches(name)
            ]
        if number < len(parts) and len(found) <= _KEPT:
            known[beginning] = found
    return (path for path in found if path)
