"""Finding files of a guest by patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest


def files_at(guest: Guest, patterns: Iterable[str], limit: int) -> Iterator[str]:
    """Every regular file of 1 to *limit* bytes that *patterns* match, each once.

    Of several paths that lead to one file, the first is given.
    """
    seen: set[str] = set()
    for pattern in patterns:
        for path in guest.glob(pattern):
            stat = guest.stat(path)
            if stat is None or stat.kind is not Kind.FILE or not 0 < stat.size <= limit:
                continue
            physical = guest.resolve(path)
            if physical not in seen:
                seen.add(physical)
                yield path
