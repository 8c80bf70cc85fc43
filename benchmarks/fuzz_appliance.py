"""Hundreds of damaged XFS and btrfs for the appliance: it must refuse, or leave them sound.

    .venv/bin/python -m benchmarks.fuzz_appliance --images 600

As ``fuzz_direct``, with ``xfs_repair -n`` and ``btrfs check`` as judges. The engine stops a machine
that takes more than ``--limit`` seconds of processor time for one request.
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

from tests.support.appliance import complaint, mounted_appliance
from tests.support.fuzz import damaged_for_a_kernel, exercise
from unclone.images.engines.appliance import volumes


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=600, help="how many (default 600)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for one request")
    options = parser.parse_args()
    volumes.LIMIT = volumes.LONG_LIMIT = options.limit
    outcomes: Counter[str] = Counter()
    slowest = (0.0, 0)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.images):
            started = time.monotonic()
            image, kind = damaged_for_a_kernel(Path(folder) / "image", seed)
            chosen, judge = random.Random(seed), complaint(kind)
            try:
                found = exercise(image, chosen, mounted_appliance, judge)
                outcomes[f"{kind}: {found.value}"] += 1
            except Exception:  # noqa: BLE001 - counting what must not happen is the point
                outcomes["WRONG"] += 1
                print(
                    f"seed {seed} ({kind}):", traceback.format_exc(limit=-3), sep="\n", flush=True
                )
            if not (seed + 1) % 20:
                print(f"  up to seed {seed}: {dict(outcomes)}", file=sys.stderr, flush=True)
            slowest = max(slowest, (time.monotonic() - started, seed))
    for outcome, count in outcomes.most_common():
        print(f"{count:6}  {outcome}")
    print(f"slowest: {slowest[0]:.1f} s, seed {slowest[1]}")
    return int(outcomes["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
