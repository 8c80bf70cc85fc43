"""Splices as exact replacements (:class:`unclone.sanitize.actions.replace_text.ReplaceText`).

A plan says which text becomes which, not where. So each splice is widened to whole lines, and by
lines around it until that text is in the file only once.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unclone.sanitize.actions.replace_text import Replacement
    from unclone.sanitize.mac_pins.pins import Splice


#: More places than this, or lines around one, are in no file that people write. Then the text that
#: is replaced is from the first place to the last, or the whole file.
_RUNS_LIMIT = 100
_LINES_LIMIT = 50


def replacements(text: str, splices: Iterable[Splice]) -> list[Replacement]:
    """Replacements that make *splices* (which do not overlap) and nothing else."""
    ordered = sorted(set(splices))
    starts = _line_starts(text)
    runs: list[tuple[int, int]] = []  # first line, line after the last
    for splice in ordered:
        low = bisect.bisect_right(starts, splice.start) - 1
        high = bisect.bisect_left(starts, max(splice.end, splice.start + 1))
        runs.append((low, high))
    merged = _merged(runs)
    if len(merged) > _RUNS_LIMIT:
        merged = [(merged[0][0], merged[-1][1])]
    while True:
        widened = _merged(_widened(text, starts, run) for run in merged)
        if widened == merged:
            break
        merged = widened
    return [
        {"old": old, "new": new, "count": 1}
        for old, new in (_pair(text, starts, run, ordered) for run in merged)
    ]


def spliced(text: str, splices: Iterable[Splice]) -> str:
    """*text* with *splices* made."""
    pieces, done = [], 0
    for start, end, new in sorted(set(splices)):
        pieces += [text[done:start], new]
        done = end
    return "".join([*pieces, text[done:]])


def _line_starts(text: str) -> list[int]:
    starts = [0]
    at = text.find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    return [start for start in starts if start < len(text)] or [0]


def _bounds(text: str, starts: Sequence[int], run: tuple[int, int]) -> tuple[int, int]:
    """The characters of a run of lines, with the end of the line before it."""
    low, high = run
    end = starts[high] if high < len(starts) else len(text)
    return max(starts[low] - 1, 0), end


def _widened(text: str, starts: Sequence[int], run: tuple[int, int]) -> tuple[int, int]:
    start, end = _bounds(text, starts, run)
    low, high = run
    while _is_repeated(text, start, end) and (low > 0 or high < len(starts)):
        if high - low > run[1] - run[0] + _LINES_LIMIT:
            return 0, len(starts)
        low, high = (low - 1, high) if low > 0 else (low, high + 1)
        start, end = _bounds(text, starts, (low, high))
    return low, high


def _is_repeated(text: str, start: int, end: int) -> bool:
    old = text[start:end]
    return text.find(old) != start or text.find(old, start + 1) >= 0


def _merged(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs that touch become one: the end of a line belongs to both."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(runs):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _pair(
    text: str, starts: Sequence[int], run: tuple[int, int], splices: Sequence[Splice]
) -> tuple[str, str]:
    start, end = _bounds(text, starts, run)
    inside = [
        splice._replace(start=splice.start - start, end=splice.end - start)
        for splice in splices
        if start <= splice.start and splice.end <= end
    ]
    return text[start:end], spliced(text[start:end], inside)
