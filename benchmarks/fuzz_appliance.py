"""Hundreds of damaged XFS and btrfs for the appliance: it must refuse, or leave them sound.

    .venv/bin/python -m benchmarks.fuzz_appliance --images 600

As ``fuzz_direct``, with ``xfs_repair -n`` and ``btrfs check`` as judges; every second image is
btrfs. The engine stops a machine that takes more than ``--limit`` seconds of processor time for
one request; how many it stopped, and the longest request, are printed.
"""

from __future__ import annotations

import argparse
import random
import sys
from typing import TYPE_CHECKING, Any

from benchmarks import trials
from tests.support.appliance import complaint, mounted_appliance
from tests.support.fuzz import damaged_for_a_kernel, exercise
from unclone.images.engines.appliance import machine, volumes

if TYPE_CHECKING:
    from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    trials.add_seeds(parser, "--images", 600)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for one request")
    options = parser.parse_args()
    volumes.LIMIT = volumes.LONG_LIMIT = options.limit
    requests = _Requests()

    def trial(folder: Path, seed: int) -> str:
        image, kind = damaged_for_a_kernel(folder / "image", seed)
        found = exercise(image, random.Random(seed), mounted_appliance, complaint(kind))
        return f"{kind}: {found.value}"

    status = trials.run(trial, options, every=20)
    print(f"longest request: {requests.longest[0]:.1f} s of processor time ({requests.longest[1]})")
    print(f"machines stopped: {requests.stopped}")
    return status


class _Requests:
    """Measures every request to a machine from now on."""

    def __init__(self) -> None:
        self.longest = (0.0, "")
        self.stopped = 0
        call = machine.Machine.call

        def measured(
            asked: machine.Machine,
            method: str,
            handle: int,
            *arguments: Any,  # noqa: ANN401 (as called)
            limit: float = volumes.LIMIT,
        ) -> Any:  # noqa: ANN401 (as called)
            process = asked.process.pid
            before = machine.processor_time(process)
            try:
                return call(asked, method, handle, *arguments, limit=limit)
            finally:
                self.stopped += asked.stopped
                used = machine.processor_time(process) - before
                self.longest = max(self.longest, (used, method))

        machine.Machine.call = measured  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    sys.exit(main())
