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
from typing import TYPE_CHECKING

from benchmarks import trials
from tests.support.fuzz import damaged, exercise
from unclone.images.engines.direct import ext_client

if TYPE_CHECKING:
    from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    trials.add_seeds(parser, "--images", 2000)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for one call")
    options = parser.parse_args()
    ext_client.LIMIT = options.limit

    def trial(folder: Path, seed: int) -> str:
        return exercise(damaged(folder / "image", seed), random.Random(seed)).value

    return trials.run(trial, options, every=100)


if __name__ == "__main__":
    sys.exit(main())
