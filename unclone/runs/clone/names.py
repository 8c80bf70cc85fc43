"""The names of the machines of a batch: ``web-{:03}`` and a count."""

from __future__ import annotations

import re

from unclone.images.errors import UsageError
from unclone.images.text import printable

#: More than anybody makes in one go; each is a folder.
MOST = 100_000

_NUMBER = re.compile(r"\{(?::0?(?P<width>[1-9]))?\}")


def expand(
    pattern: str, count: int | None, start: int = 1, *, option: str = "--"
) -> tuple[str, ...]:
    """The names that *pattern* stands for: ``{}`` is the number, ``{:03}`` with zeros before it.

    *option* is what stands before ``name`` and ``count`` in messages.
    Raises UsageError for a pattern without a number where there are several machines, for one with
    a number where nothing says how many, and for braces that are something else.
    """
    shown = printable(pattern, 100)
    found = list(_NUMBER.finditer(pattern))
    rest = _NUMBER.sub("", pattern)
    if "{" in rest or "}" in rest or len(found) > 1:
        raise UsageError(
            f"{option}name {shown}: braces stand for the number of the machine, once",
            hint=f"Write {{}} or {{:03}}, as in {option}name 'web-{{:03}}'.",
        )
    if not found:
        if count not in (None, 1):
            raise UsageError(
                f"{option}name {shown} names one machine, and {option}count says {count}",
                hint=f"Say where the number goes: {option}name 'NAME-{{:03}}'.",
            )
        return (pattern,)
    if count is None:
        raise UsageError(
            f"{option}name {shown} has a number, and nothing says how many",
            hint=f"Add {option}count N.",
        )
    if not 0 < count <= MOST:
        raise UsageError(
            f"{option}count {count}: from 1 to {MOST:,} machines can be made in one go"
        )
    width = int(found[0]["width"] or 0)
    before, after = pattern[: found[0].start()], pattern[found[0].end() :]
    return tuple(f"{before}{n:0{width}}{after}" for n in range(start, start + count))
