"""Thousands of damaged file systems for the direct engine: it must refuse, or leave them sound.

    .venv/bin/python -m benchmarks.fuzz_direct --images 2000

Each image has a few flipped bits in its metadata; everything a run does is done to it, under the
engine's own time limits. The command fails when a run ended in anything but a proper answer, wrote
beyond the file system, or called an image clean that ``e2fsck -fn`` complains of.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.support.fuzz import damaged, exercise
from unclone.images.engines.direct import ext_client


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="how many (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for one call")
    options = parser.parse_args()
    ext_client.LIMIT = options.limit
    outcomes: Counter[str] = Counter()
    slowest = (0.0, 0)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        for seed in range(options.first, options.first + options.images):
            started = time.monotonic()
            damaged(image, seed)
            try:
                outcomes[exercise(image, random.Random(seed)).value] += 1
            except Exception:  # noqa: BLE001 - counting what must not happen is the point
                outcomes["WRONG"] += 1
                print(f"seed {seed}:", traceback.format_exc(limit=-3), sep="\n", flush=True)
            if not (seed + 1) % 100:
                print(f"  up to seed {seed}: {dict(outcomes)}", file=sys.stderr, flush=True)
            slowest = max(slowest, (time.monotonic() - started, seed))
    for outcome, count in outcomes.most_common():
        print(f"{count:6}  {outcome}")
    print(f"slowest: {slowest[0]:.1f} s, seed {slowest[1]}")
    return int(outcomes["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
