#!/usr/bin/env python3
"""How fast identities are handed out through one ledger, and that none is handed out twice.

Four processes fill one ledger with 100,000 machines (a UUID, two MAC addresses in one range of
2^24, an instance-id), a batch per transaction; then they add some one by one, each durable before
the next. Afterwards everything in the ledger is counted, and so is everything they printed.

    python benchmarks/ledger.py [--machines 100000] [--batch 250] [--singles 400] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.ledger import Ledger

PROCESSES = 4
OUI = bytes.fromhex("525400")
OLD_UUID = "0ae55c0b-8ce3-4d5c-95cf-e65d4ec7aa11"


def hand_out(path: Path, prefix: str, machines: int, batch: int, result: Path) -> None:
    """Allocate *machines* machines, *batch* at a time; write every value to *result*."""
    values: list[str] = []
    with Ledger.open(path) as ledger:
        for start in range(0, machines, batch):
            pool = Pool(ledger=ledger)
            with pool.handing_out():
                for number in range(start, min(start + batch, machines)):
                    one = pool.machine(f"{prefix}-{number}")
                    values += [
                        one.uuid(OLD_UUID, field="machine"),
                        one.mac("52:54:00:12:34:56", oui=OUI, place="net0"),
                        one.mac("52:54:00:12:34:57", oui=OUI, place="net1"),
                        f"i-{prefix}-{number}",
                    ]
                    one.claim("instance-id", values[-1])
                    one.record("golden.xml")
    result.write_text("\n".join(values))


def together(folder: Path, path: Path, label: str, machines: int, batch: int) -> dict[str, object]:
    """Run the processes; the wall time, the rate, and the values they were given."""
    share = machines // PROCESSES
    running = [
        multiprocessing.Process(
            target=hand_out, args=(path, f"{label}{n}", share, batch, folder / f"{label}{n}")
        )
        for n in range(PROCESSES)
    ]
    start = time.monotonic()
    for process in running:
        process.start()
    for process in running:
        process.join()
    seconds = time.monotonic() - start
    assert all(process.exitcode == 0 for process in running)
    return {
        "machines": share * PROCESSES,
        "per transaction": batch,
        "seconds": round(seconds, 2),
        "machines per second": round(share * PROCESSES / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--machines", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--singles", type=int, default=400)
    parser.add_argument("--folder", help="where the ledger is made (a local disk)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        path = folder / "ledger.db"
        batches = together(folder, path, "batch", asked.machines, asked.batch)
        singles = together(folder, path, "single", asked.singles, 1)
        printed = [v for f in folder.iterdir() if f != path for v in f.read_text().split()]
        with Ledger.open(path) as ledger:
            names = 0
            recorded: list[str] = []
            for machine in ledger.machines():
                names += 1
                recorded += [one.value for one in machine.identities]
        duplicates = len(printed) - len(set(printed))
        result = {
            "processes": PROCESSES,
            "processors": os.cpu_count(),
            "batches": batches,
            "one by one": singles,
            "machines in the ledger": names,
            "identities in the ledger": len(recorded),
            "identities handed out": len(printed),
            "duplicates": duplicates,
            "ledger, MB": round(path.stat().st_size / 1e6, 1),
        }
    print(json.dumps(result, indent=2))
    wanted = asked.machines // PROCESSES * PROCESSES + asked.singles // PROCESSES * PROCESSES
    if duplicates or set(printed) != set(recorded) or names != wanted:
        sys.exit("the ledger and what was handed out differ")


if __name__ == "__main__":
    main()
