"""Kills and signals at random moments: an image is as it was or complete, and nothing is left.

    .venv/bin/python -m benchmarks.kills --count 120

SIGKILL, SIGTERM, SIGHUP and Ctrl-C come while the plan is applied, while the overlay is written
and read back, and while it is committed; into a qcow2 image, and into one that only QEMU reads.
After each, `unclone recover` and another run must do what they say. The command fails when an
image was half done, or a file, a process or a mount was left.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from tests.support import kills


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=120, help="how many (default 120)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        guests = []
        for form in kills.FORMS:
            image = kills.golden(Path(scratch) / f"disk.{form}", form)
            guests.append(kills.Undisturbed.measured(image, Path(scratch) / form))
        for seed in range(options.first, options.first + options.count):
            folder = Path(scratch) / str(seed)
            try:
                outcomes[kills.strike(guests[seed % len(guests)], folder, seed)] += 1
            except Exception:  # noqa: BLE001 - counting what must not happen is the point
                outcomes["WRONG"] += 1
                traceback.print_exc(limit=-1)
            shutil.rmtree(folder)
            if not (seed + 1) % 10:
                print(f"  up to seed {seed}: {dict(outcomes)}", file=sys.stderr, flush=True)
    for outcome, count in outcomes.most_common():
        print(f"{count:6}  {outcome}")
    return int(outcomes["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
