"""Wall time of ``unclone sanitize`` against ``virt-sysprep`` on copies of the same image.

Both run in turns, so that a noisy neighbour hits both; each run gets a fresh copy of the guest
that ``tests/guests`` builds, and the page cache is as warm for one as for the other.

    make bench
    .venv/bin/python -m benchmarks.sanitize_vs_virt_sysprep --rounds 5 --markdown
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import debian
from tests.support import readback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNCLONE = Path(sys.executable).with_name("unclone")

THEIRS = "virt-sysprep"


def main() -> int:
    options = _options()
    golden = debian.cached(lambda step: print(f"  {step} ...", file=sys.stderr))
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=debian.cache_directory()) as scratch:
        image = Path(scratch) / "image.qcow2"
        _read_through(golden)
        for round_ in range(options.rounds):
            for name, argv in _contestants(image).items():
                print(f"  round {round_ + 1}: {name} ...", file=sys.stderr, flush=True)
                seconds.setdefault(name, []).append(_timed(argv, golden, image))
    _print(seconds, markdown=options.markdown)
    return 0


def _contestants(image: Path) -> Mapping[str, Sequence[str | Path]]:
    # virt-sysprep leaves UUIDs as they are: with --uuids keep both do the same work.
    ours = {
        f"unclone --engine {engine} --uuids {uuids}": [
            *(UNCLONE, "sanitize", "--quiet", "--engine", engine, "--uuids", uuids, image),
        ]
        for engine in ("guestfs", "direct")
        for uuids in ("keep", "renew")
    }
    return {
        **ours,
        THEIRS: ["virt-sysprep", "--quiet", "--format", "qcow2", "-a", image],
    }


def _timed(argv: Sequence[str | Path], golden: Path, image: Path) -> float:
    image.unlink(missing_ok=True)
    shutil.copyfile(golden, image)
    started = time.monotonic()
    # virt-sysprep does not notice by itself that KVM is broken; both are told the same.
    subprocess.run(
        argv,
        check=True,
        env=readback.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - started


def _read_through(path: Path) -> None:
    with path.open("rb") as handle:
        while handle.read(1 << 22):
            pass


def _print(seconds: Mapping[str, Sequence[float]], *, markdown: bool) -> None:
    medians = {name: statistics.median(runs) for name, runs in seconds.items()}
    rows = [
        (
            name,
            f"{medians[name]:.1f} s",
            f"{medians[THEIRS] / medians[name]:.1f}",
            " ".join(f"{run:.1f}" for run in runs),
        )
        for name, runs in seconds.items()
    ]
    if markdown:
        print(f"| | median | times as fast as {THEIRS} | every run |\n|---|---|---|---|")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    else:
        print(f"{'':24} {'median':>8} {'ratio':>6}   every run")
        print("\n".join(f"{row[0]:24} {row[1]:>8} {row[2]:>6}   {row[3]}" for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
