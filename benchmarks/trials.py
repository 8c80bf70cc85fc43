"""Many trials, each from a seed: what became of them, and which took longest."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_WRONG = "WRONG"


def add_seeds(parser: argparse.ArgumentParser, option: str, count: int) -> None:
    """Let the caller say which seeds: how many by *option*, and the first."""
    how_many = f"how many (default {count})"
    parser.add_argument(option, dest="count", type=int, default=count, help=how_many)
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")


def run(trial: Callable[[Path, int], str], options: argparse.Namespace, *, every: int) -> int:
    """Make each trial, in a folder that all share, and print what it says became of it.

    The counts until then are printed after *every* so many. Returns the exit status, which is 1
    when a trial raised something.
    """
    outcomes: Counter[str] = Counter()
    slowest = busiest = (0.0, 0)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.count):
            started, used = time.monotonic(), _processor_time()
            try:
                outcomes[trial(Path(folder), seed)] += 1
            except Exception:  # noqa: BLE001 - counting what must not happen is the point
                outcomes[_WRONG] += 1
                print(f"seed {seed}:", traceback.format_exc(limit=-3), sep="\n", flush=True)
            slowest = max(slowest, (time.monotonic() - started, seed))
            busiest = max(busiest, (_processor_time() - used, seed))
            if not (seed + 1) % every:
                print(f"  up to seed {seed}: {dict(outcomes)}", file=sys.stderr, flush=True)
    for outcome, count in outcomes.most_common():
        print(f"{count:6}  {outcome}")
    print(f"slowest: {slowest[0]:.1f} s, seed {slowest[1]}")
    print(f"most processor time: {busiest[0]:.1f} s, seed {busiest[1]}")
    return int(outcomes[_WRONG] > 0)


def _processor_time() -> float:
    """Seconds, of this process and of children that have ended."""
    return sum(os.times()[:4])
