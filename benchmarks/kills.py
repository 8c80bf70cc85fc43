"""Kills and signals at random moments: an image is as it was or complete, and nothing is left.

    .venv/bin/python -m benchmarks.kills --count 120
    .venv/bin/python -m benchmarks.kills --count 100 --engine appliance

SIGKILL, SIGTERM, SIGHUP and Ctrl-C come while the plan is applied, while the overlay is written
and read back, and while it is committed; into a qcow2 image, and into one that only QEMU reads.
With the appliance, SIGKILL ends the run or its virtual machine, on XFS and btrfs; and while the
machine is frozen, too. After each, `unclone recover` and then a further run must do what they say.
The command fails when an image was half done, or a file, a process or a mount was left.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import trials
from tests.support import kills, templates

#: Formats and types of file systems.
_GUESTS = {
    "direct": [(form, "ext4") for form in kills.FORMS],
    "appliance": [("qcow2", "xfs"), ("qcow2", "btrfs")],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    trials.add_seeds(parser, "--count", 120)
    parser.add_argument("--engine", choices=[*_GUESTS], default="direct")
    options = parser.parse_args()
    # nohup and background jobs of a shell ignore them, and so would the runs.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as scratch:
        guests = []
        for form, kind in _GUESTS[options.engine]:
            image = kills.golden(Path(scratch) / f"{kind}.{form}", form, kind)
            measured = Path(scratch) / f"{kind}-{form}"
            guests.append(kills.Undisturbed.measured(image, measured, kind))
            templates.forget()
            print(kind, form, guests[-1].seconds, file=sys.stderr, flush=True)

        def trial(folder: Path, seed: int) -> str:
            own = folder / str(seed)
            try:
                return kills.strike(guests[seed % len(guests)], own, seed)
            finally:
                shutil.rmtree(own)

        return trials.run(trial, options, every=10)


if __name__ == "__main__":
    sys.exit(main())
