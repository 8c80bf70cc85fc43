"""Many processes draw from one ledger at once: is anything given twice, is anything lost, how fast?

    .venv/bin/python -m benchmarks.ledger --machines 100000 --processes 8
    .venv/bin/python -m benchmarks.ledger --machines 100000 --processes 8 --postgresql --cuts 200

Each process gives its machines a UUID, two MAC addresses from one range and an instance-id, --batch
machines in a transaction. Afterwards everything in the ledger is counted, and so is everything that
the processes say they were given. With --postgresql a server of its own is started for it; with
--cuts it loses its connections so many times, and is stopped hard and started again in the middle.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import postgresql
from unclone.images.errors import UncloneError
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.ledger import Ledger
from unclone.sanitize.identities.ledger.place import parse_place

if TYPE_CHECKING:
    from collections.abc import Callable

PREFIX = bytes.fromhex("525400")
OLD_UUID = "0ae55c0b-8ce3-4d5c-95cf-e65d4ec7aa11"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Found:
    """*recorded*: machines in the ledger; *told*: of them, those that processes say they made.

    *twice*: identities that two machines have; *errors*: transactions that had to be begun again.
    """

    recorded: int
    told: int
    twice: int
    errors: int
    seconds: float


class Disturbance:
    """Cuts the connections of unclone *cuts* times, and restarts the server once, hard."""

    def __init__(self, server: postgresql.Server, cuts: int) -> None:
        self._server = server
        self._wanted = cuts
        self._struck = 0
        self.cuts = 0
        self.restarts = 0

    def __call__(self, done: float) -> None:
        """Strike when the part *done* has grown enough since the last time."""
        if done >= self._struck / self._wanted:
            self._struck += 1
            self.cuts += self._server.cut_connections()
        if done > 1 / 2 and not self.restarts:
            self.restarts += 1
            self._server.stop("immediate")
            self._server.start()


def contend(
    place: str,
    *,
    machines: int,
    processes: int,
    batch: int = 20,
    disturb: Callable[[float], None] | None = None,
) -> Found:
    """Let *processes* record *machines* at *place*; *disturb* is called with the part done."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        logs = [Path(scratch) / str(number) for number in range(processes)]
        share = machines // processes
        running = [
            subprocess.Popen(
                [sys.executable, "-m", __spec__.name, "--draw", place, str(share), str(batch)],
                cwd=ROOT,
                stdout=log.open("w"),
            )
            for log in logs
        ]
        try:
            while any(process.poll() is None for process in running):
                time.sleep(0.05)
                done = sum(log.read_text().count("\n") for log in logs) / machines
                if disturb and 0 < done < 1:
                    disturb(done)
        finally:
            for process in running:
                process.kill()
                process.wait()
        failed = [process.args for process in running if process.returncode]
        if failed:
            raise RuntimeError(f"failed: {failed}")
        lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    seconds = time.monotonic() - begun
    told = {name for name, _ in lines}
    errors = sum(int(count) for _, count in lines)
    recorded, values = set(), []
    with Ledger.open(parse_place(place)) as ledger:
        for machine in ledger.machines():
            recorded.add(machine.name)
            values += [(one.kind, one.value) for one in machine.identities]
    twice = len(values) - len(set(values)) + abs(4 * len(recorded) - len(values))
    return Found(len(recorded), len(told & recorded), twice, errors, seconds)


def _draw(place: str, count: int, batch: int) -> None:
    """Record *count* machines; a line for each, with the errors that came before it."""
    own = uuid.uuid4().hex[:8]
    errors = 0
    with Ledger.open(parse_place(place)) as ledger:
        for first in range(0, count, batch):
            names = [f"{own}-{number}" for number in range(first, min(first + batch, count))]
            while True:
                try:
                    if ledger.machine(names[0]) is None:  # else: kept, though an error came
                        _record(ledger, names)
                except UncloneError:
                    errors += 1
                    time.sleep(0.05)
                else:
                    break
            for name in names:
                print(name, errors, flush=True)
                errors = 0


def _record(ledger: Ledger, names: list[str]) -> None:
    pool = Pool(ledger=ledger)
    with pool.handing_out():
        for name in names:
            one = pool.machine(name)
            one.uuid(OLD_UUID, field="machine")
            one.mac("52:54:00:12:34:56", oui=PREFIX, place="net0")
            one.mac("52:54:00:12:34:57", oui=PREFIX, place="net1")
            one.claim("instance-id", f"i-{name}")
            one.record("golden.xml")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--batch", type=int, default=250, help="machines in a transaction")
    parser.add_argument("--folder", help="where the ledger is made (a local disk)")
    parser.add_argument("--postgresql", action="store_true", help="on a server, not in a file")
    parser.add_argument("--cuts", type=int, default=0, help="times that connections are cut")
    parser.add_argument("--draw", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        _draw(options.draw[0], int(options.draw[1]), int(options.draw[2]))
        return 0
    disturbance = None
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch, ExitStack() as stack:
        place = str(Path(scratch) / "ledger")
        if options.postgresql:
            server = stack.enter_context(postgresql.running())
            place = server.new_database()
            disturbance = Disturbance(server, options.cuts) if options.cuts else None
        found = contend(
            place,
            machines=options.machines,
            processes=options.processes,
            batch=options.batch,
            disturb=disturbance,
        )
    print(found)
    print(f"{found.recorded / found.seconds:.0f} machines a second")
    if disturbance:
        print(f"{disturbance.cuts} connections cut, {disturbance.restarts} restarts")
    wanted = options.machines // options.processes * options.processes
    return int(found.twice > 0 or not found.told == found.recorded == wanted)


if __name__ == "__main__":
    sys.exit(main())
