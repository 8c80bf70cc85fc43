"""``unclone sanitize`` beside ``virt-sysprep --operations fs-uuids`` on copies of one Debian guest.

For each: what it changed, as blkid and sfdisk read it, and what ``unclone prove``
says of the result.

    .venv/bin/python -m benchmarks.fs_uuids_vs_virt_sysprep
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests import debian
from tests.support import readback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNCLONE = Path(sys.executable).with_name("unclone")

CONTESTANTS: Mapping[str, Sequence[str | Path]] = {
    "virt-sysprep --operations fs-uuids": [
        *("virt-sysprep", "--quiet", "--operations", "fs-uuids", "--format", "qcow2", "-a"),
    ],
    "unclone sanitize": [UNCLONE, "sanitize", "--quiet"],
}


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    golden = debian.cached(lambda step: print(f"  {step} ...", file=sys.stderr))
    with tempfile.TemporaryDirectory(dir=debian.cache_directory()) as scratch:
        work = Path(scratch)
        before = readback.identifiers(golden, work)
        for name, argv in CONTESTANTS.items():
            image = work / "image.qcow2"
            shutil.copyfile(golden, image)
            done = subprocess.run(
                [*argv, image],
                env=readback.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                text=True,
            )
            print(f"{name}: exit status {done.returncode}")
            for line in done.stderr.splitlines():
                print(f"    {line}")
            after = readback.identifiers(image, work)
            for (kind, device), old in before.items():
                new = after.get((kind, device), "")
                changed = "unchanged" if new == old else f"-> {new}"
                print(f"  {kind:18} {device:10} {old:36} {changed}")
            print(f"  {_prove(image)}", flush=True)
    return 0


def _prove(image: Path) -> str:
    done = subprocess.run(
        [UNCLONE, "prove", "--json", image], capture_output=True, check=False, text=True
    )
    (result,) = json.loads(done.stdout)["results"]
    if "status" not in result:
        return f"is not booted: {result['error']['message']}"
    found = "; ".join(f"{each['what']}: {each['found']}" for each in result["differences"])
    boot = result["boots"][0]
    return f"{result['status']}: {found or boot['reason'] or 'nothing differs'}"


if __name__ == "__main__":
    sys.exit(main())
