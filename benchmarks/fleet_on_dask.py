"""Machines made by three workers of Dask, and by one process of this host: what each costs.

The time of processors counts, of all processes together: it does not depend on what else the host
does. The golden image is a small one, prepared before; the machines have disk, definition and seed.

    python -m benchmarks.fleet_on_dask [--scale 100 1000 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.guests import debian
from tests.support.dask_cluster import Cluster, cluster
from tests.unclone.test_clone import DOMAIN, MAC
from tests.unclone.test_clone_stamped import golden_image

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKERS = ("a", "b", "c")
_TICKS = os.sysconf("SC_CLK_TCK")


def used(pid: int) -> tuple[float, int]:
    """Seconds of processors that the process *pid* has had, and the most memory, in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) // 1024
    return (int(fields[11]) + int(fields[12])) / _TICKS, peak


def measured(at: Cluster, command: Sequence[str | Path], *, on_dask: bool) -> dict[str, Any]:
    """Run *command*: seconds, and seconds of processors with those of the cluster."""
    others = [*at.processes] if on_dask else []
    before = [used(each.pid)[0] for each in others]
    mine, began = os.times(), time.monotonic()
    if on_dask:
        run = at.unclone(*command)
    else:
        program: list[str | Path] = [at.python, "-m", "unclone", *command]
        run = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, told = run.communicate()
    assert run.returncode == 0, told
    now = os.times()
    after = [used(each.pid) for each in others]
    run_only = sum(now[2:4]) - sum(mine[2:4])
    return {
        "seconds": round(time.monotonic() - began, 1),
        "processor seconds": round(run_only + sum(each[0] for each in after) - sum(before), 2),
        "of the run": round(run_only, 2),
        "peak memory of workers, MB": [each[1] for each in after],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scale", type=int, nargs="*", default=[100, 1000, 10000])
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=debian.cache_directory()) as name,
        cluster(Path(name)) as at,
    ):
        folder = Path(name)
        golden = golden_image(folder, "GPT")
        (folder / "golden.xml").write_text(DOMAIN.format(folder=folder, mac=MAC))
        for worker in WORKERS:
            at.start_worker(worker)

        def command(count: int, output: Path) -> tuple[str | Path, ...]:
            return (
                *("clone", golden, "--name", "web-{:05}", "--count", str(count), "-q"),
                *("--definition", folder / "golden.xml", "-o", output),
            )

        measured(at, command(8, folder / "first"), on_dask=False)
        for count in asked.scale:
            row: dict[str, Any] = {"machines": count}
            row["local"] = measured(at, command(count, folder / "local"), on_dask=False)
            row["Dask"] = measured(at, command(count, folder / "driver"), on_dask=True)
            costs = [row[kind]["processor seconds"] for kind in ("local", "Dask")]
            row["overhead, %"] = round(100 * (costs[1] / costs[0] - 1), 1)
            row["load"] = round(os.getloadavg()[0], 1)
            print(json.dumps(row), flush=True)
            for path in (folder / "local", folder / "driver", *map(at.output, WORKERS)):
                shutil.rmtree(path)


if __name__ == "__main__":
    main()
