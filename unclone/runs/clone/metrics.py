"""What a run of ``clone`` did, in numbers: for Prometheus, and for the summary of JSON lines."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unclone.runs.prometheus import Gauge, write_gauges

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.runs.clone.making import Machine
    from unclone.runs.completed import CompletedRun
    from unclone.sanitize.identities.ledger.place import Place

#: MAC addresses that begin with the same three octets.
_RANGE = 1 << 24
_PREFIX = len("52:54:00")


@dataclass
class Metrics:
    """Counts machines as they come."""

    statuses: Counter[str] = field(default_factory=Counter)
    #: What the MAC addresses of machines begin with.
    ranges: set[str] = field(default_factory=set)
    ledger: Place | None = None
    _began: float = field(default_factory=time.monotonic)

    def count(self, done: CompletedRun[Machine]) -> None:
        """Count the end of one machine."""
        self.statuses[done.result.status if done.result else "failed"] += 1
        if done.result:
            self.ranges.update(mac[:_PREFIX] for mac in done.result.identity.macs.values())

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        counts = dict(sorted(self.statuses.items()))
        return {
            "status": "summary",
            "machines": self.statuses.total(),
            "counts": counts,
            "seconds": self._seconds(),
        }

    def write(self, path: Path | None) -> None:
        """Write them for Prometheus to *path*, if there is one. Raises UncloneError.

        What is left of a range of MAC addresses is what the ledger says.
        """
        if path is None:
            return
        counts = {**dict.fromkeys(("done", "present", "failed"), 0), **self.statuses}
        left = self._left(self.ledger) if self.ledger is not None else {}
        write_gauges(
            path,
            [
                Gauge("clone_machines", "Machines of the last run, by what became of them.",
                      "status", counts),
                Gauge.of("clone_seconds", "Seconds that the last run took.", self._seconds()),
                Gauge("clone_addresses_left", "MAC addresses that are free, by how they begin.",
                      "range", left),
            ],
        )  # fmt: skip

    def _seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def _left(self, place: Place) -> dict[str, int]:
        from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (only needed here)

        with Ledger.open(place) as ledger:
            return {each: _RANGE - ledger.count("mac", each) for each in self.ranges}
