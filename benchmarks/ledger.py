"""Many processes draw from one ledger at once: is anything given twice, is anything lost, how fast?

    .venv/bin/python -m benchmarks.ledger --machines 100000 --processes 8 --kills 200
    .venv/bin/python -m benchmarks.ledger --machines 100000 --processes 8 --postgresql --cuts 200

Each process gives its machines a UUID, two MAC addresses from one range and an instance-id, --batch
machines in a transaction. Afterwards everything in the ledger is counted, and so is everything that
the processes say they were given. With --postgresql a server of its own is started for it; with
--cuts it loses its connections so many times, and is stopped hard and started again in the middle.
With --kills a process is killed so many times, and another one goes on where its output ends.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
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
    from collections.abc import Mapping, Sequence

PREFIX = bytes.fromhex("525400")
OLD_UUID = "0ae55c0b-8ce3-4d5c-95cf-e65d4ec7aa11"
ROOT = Path(__file__).resolve().parents[1]
#: Seconds: more than a transaction takes, so that a blow falls on any part of one.
LONGEST_WAIT = 0.1


@dataclass(frozen=True)
class Found:
    """*recorded*: machines in the ledger; *told*: of them, those that processes say they made.

    *twice*: identities that two machines have; *messages*: what the processes were told when a
    transaction had to be begun again, and how many times.
    """

    recorded: int
    told: int
    twice: int
    messages: Mapping[str, int]
    seconds: float


class Disturbance:
    """Cuts connections, kills processes, and restarts the server once, hard: at random moments."""

    def __init__(
        self, server: postgresql.Server | None = None, *, cuts: int = 0, kills: int = 0
    ) -> None:
        self._server = server
        self._blows = random.sample([self._cut] * cuts + [self._kill] * kills, cuts + kills)
        self._wanted = len(self._blows)
        self._due = 0.0
        #: Connections that were cut, processes that were killed, restarts of the server.
        self.cuts = self.kills = self.restarts = 0

    @property
    def blows(self) -> int:
        """How often connections were cut, or a process was to be killed."""
        return self._wanted - len(self._blows)

    def __call__(self, done: float, drawers: Sequence[Drawer]) -> None:
        """Strike a random time after the part *done* has grown enough since the last time."""
        if self._due:
            if time.monotonic() >= self._due:
                self._due = 0.0
                self._blows.pop()(drawers)
        elif self._blows and done >= 1 - len(self._blows) / self._wanted:
            self._due = time.monotonic() + random.uniform(0.001, LONGEST_WAIT)
        if self._server and done > 1 / 2 and not self.restarts:
            self.restarts += 1
            self._server.stop("immediate")
            self._server.start()

    def _cut(self, _: Sequence[Drawer]) -> None:
        assert self._server is not None
        self.cuts += self._server.cut_connections()

    def _kill(self, drawers: Sequence[Drawer]) -> None:
        if running := [drawer for drawer in drawers if drawer.is_running()]:
            self.kills += random.choice(running).kill()


class Drawer:
    """A process that records *count* machines at *place* and says so in the file *log*."""

    def __init__(self, place: str, log: Path, count: int, batch: int) -> None:
        self._words = ["--draw", place, log.name, str(count), str(batch)]
        self._log = log
        self._log.touch()
        self._read = 0
        #: Names of machines, and messages.
        self.told: set[str] = set()
        self.messages: Counter[str] = Counter()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *self._words, str(len(self.told))],
            cwd=ROOT,
            stdout=self._log.open("a"),
        )

    def look(self) -> bool:
        """Read on what it says; whether it is still running."""
        status = self._process.poll()
        with self._log.open() as file:
            file.seek(self._read)
            for line in file:
                if line.endswith("\n"):
                    self._read += len(line.encode())
                    self._take(*line.rstrip("\n").split(" ", 1))
        if status == -signal.SIGKILL:
            self._start()
        elif status:
            raise RuntimeError(f"it ended with {status}: {self._process.args!r}")
        return status != 0

    def _take(self, kind: str, text: str) -> None:
        if kind == "made":
            self.told.add(text)
        else:
            self.messages[text] += 1

    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> bool:
        """Kill it; whether it was running."""
        if not self.is_running():
            return False
        self._process.kill()
        return True

    def end(self) -> None:
        """For good."""
        self._process.kill()
        self._process.wait()


def contend(
    place: str,
    *,
    machines: int,
    processes: int,
    batch: int = 20,
    disturbance: Disturbance | None = None,
) -> Found:
    """Let *processes* record *machines* at *place* while *disturbance* disturbs them."""
    begun = time.monotonic()
    share = machines // processes
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        drawers = []
        for number in range(processes):
            drawers.append(Drawer(place, Path(scratch) / f"host-{number}", share, batch))
            stack.callback(drawers[-1].end)
        running = len(drawers)
        while running:
            running = sum(drawer.look() for drawer in drawers)
            time.sleep(0.02)
            done = sum(len(drawer.told) for drawer in drawers) / machines
            if disturbance and 0 < done < 1:
                disturbance(done, drawers)
    seconds = time.monotonic() - begun
    told = set().union(*(drawer.told for drawer in drawers))
    messages = sum((drawer.messages for drawer in drawers), Counter())
    recorded, values = set(), []
    with Ledger.open(parse_place(place)) as ledger:
        for machine in ledger.machines():
            recorded.add(machine.name)
            values += [(one.kind, one.value) for one in machine.identities]
    twice = len(values) - len(set(values)) + abs(4 * len(recorded) - len(values))
    return Found(len(recorded), len(told & recorded), twice, messages, seconds)


def _draw(place: str, own: str, count: int, batch: int, first: int) -> None:
    """Record *count* machines of which *first* are there; a line for each, and for each error."""
    with _opened(place) as ledger:
        for start in range(first - first % batch, count, batch):
            names = [f"{own}-{number}" for number in range(start, min(start + batch, count))]
            while True:
                try:
                    if ledger.machine(names[0]) is None:  # else: kept, though an error came
                        _record(ledger, names)
                except UncloneError as error:
                    print("error", error, error.hint, flush=True)
                    time.sleep(0.05)
                else:
                    break
            print("\n".join(f"made {name}" for name in names), flush=True)


def _opened(place: str) -> Ledger:
    """The ledger, when its server answers again."""
    while True:
        try:
            return Ledger.open(parse_place(place))
        except UncloneError as error:
            print("error", error, error.hint, flush=True)
            time.sleep(0.05)


def _record(ledger: Ledger, names: list[str]) -> None:
    pool = Pool(ledger=ledger)
    with pool.handing_out():
        pool.expect(names, [("instance-id", f"i-{name}") for name in names])
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
    parser.add_argument("--kills", type=int, default=0, help="times that a process is killed")
    parser.add_argument("--draw", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw:
        _draw(*options.draw[:2], *map(int, options.draw[2:]))
        return 0
    server = None
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch, ExitStack() as stack:
        place = str(Path(scratch) / "ledger")
        if options.postgresql:
            server = stack.enter_context(postgresql.running())
            place = server.new_database()
        disturbance = Disturbance(server, cuts=options.cuts, kills=options.kills)
        found = contend(
            place,
            machines=options.machines,
            processes=options.processes,
            batch=options.batch,
            disturbance=disturbance,
        )
    for message, times in sorted(found.messages.items()):
        print(f"{times} times: {message}")
    print(f"{found.recorded} recorded, {found.told} told, {found.twice} twice")
    print(f"{found.seconds:.0f} s, {found.recorded / found.seconds:.0f} machines a second")
    print(f"{disturbance.cuts} connections cut, {disturbance.kills} processes killed, ", end="")
    print(f"{disturbance.restarts} restarts of the server, {disturbance.blows} blows")
    wanted = options.machines // options.processes * options.processes
    return int(found.twice > 0 or not found.told == found.recorded == wanted)


if __name__ == "__main__":
    sys.exit(main())
