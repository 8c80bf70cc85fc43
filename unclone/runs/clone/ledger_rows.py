"""What a run of ``clone`` does with the ledger: new values, and the rows of machines replaced."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.images.interrupts import deferred
from unclone.runs.clone.batch import RECORD, read_record
from unclone.runs.clone.placements import Placements
from unclone.runs.clone.presence import recorded
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.avoidance import scan
from unclone.sanitize.identities.hash_table import HashTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.runs.clone.batch import Batch
    from unclone.runs.clone.order import Order
    from unclone.sanitize.identities.ledger import Ledger
    from unclone.sanitize.identities.ledger.place import Place


def set_aside(missing: Sequence[str], batch: Batch, ledger: Ledger | None) -> list[str]:
    """Let the rows of machines that are made anew give way; the names of these machines.

    Their values stay taken until the machine that has them is gone.
    """
    if ledger is None:
        return []
    replaced = [name for name in missing if batch.finished(name) is not None]
    with ledger.transaction():
        for name in replaced:
            if ledger.machine(name) is not None:
                ledger.rename(name, _aside(name, batch))
    return replaced


def _aside(name: str, batch: Batch) -> str:
    return f"{name} (replaced in run {batch.run})"


def settle(batch: Batch, replaced: Sequence[str], book: Place | None) -> None:
    """Free the rows of machines that were not made, and of those that others took the place of."""
    unmade = set(batch.unmade())
    given_back = batch.own_rows & unmade
    if book is None or not (given_back or replaced):
        return
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (only needed here)

    with deferred(), Ledger.open(book) as ledger, ledger.transaction():
        for name in sorted(given_back):
            if ledger.machine(name) is not None:
                ledger.forget(name)
        for name in replaced:
            aside = _aside(name, batch)
            if ledger.machine(aside) is None:
                continue
            if name in batch.own_rows - unmade:
                ledger.forget(aside)
            else:
                ledger.rename(aside, name)


@contextmanager
def pool_for(orders: Sequence[Order], folder: Path) -> Iterator[tuple[Pool, Ledger | None]]:
    """Where new values come from: unlike those of the definitions, of *folder*, of the ledger."""
    first = orders[0]
    known = [*dict.fromkeys(each.definition for each in orders if each.definition), *first.avoid]
    key = first.request.options.identities.key
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (only needed here)

    if first.ledger is None or (first.dry_run and not Ledger.exists(first.ledger)):
        taken, others = beside(folder)
        yield Pool(avoided=scan([*known, *others]), taken=taken, key=key), None
        return
    with Ledger.open(first.ledger) as opened:
        # Machines beside are in the ledger: their files need not be read.
        yield Pool(avoided=scan(known), ledger=opened, key=key), opened


def beside(folder: Path) -> tuple[HashTable, list[Path]]:
    """Kinds and values of the machines in *folder* or its placements; files that are no records."""
    taken, others = HashTable(), list[Path]()
    for entry in os.scandir(folder) if folder.is_dir() else ():
        record = Path(entry, RECORD)
        # What a killed run has not finished is nobody's; the values may be derived again.
        if entry.name.startswith(".") or not record.exists():
            continue
        try:
            identity = recorded(read_record(record.parent) or {}, record.parent, "").identity
        except (UncloneError, KeyError, TypeError, ValueError):
            others.append(record)
            continue
        for kind, value in identity.own_values():
            taken.add((kind, value))
    for identity in Placements(folder).identities():
        for kind, value in identity.own_values():
            taken.add((kind, value))
    return taken, others
