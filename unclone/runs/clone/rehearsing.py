"""A dry run: what a run would make, decided and checked as far as that goes without making it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.images.text import shown
from unclone.runs import define as defining
from unclone.runs import failures
from unclone.runs.clone import deciding, definition_files, making
from unclone.runs.clone.ledger_rows import beside
from unclone.runs.clone.making import Machine
from unclone.runs.clone.order import Mode
from unclone.runs.completed import CompletedRun, complete
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.machine import RecordedPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.runs.clone.batch import Batch
    from unclone.runs.clone.deciding import Share
    from unclone.runs.clone.order import Order
    from unclone.runs.listener import BatchListener
    from unclone.sanitize.identities.ledger import Ledger
    from unclone.sanitize.identities.machine import MachineIdentity


class Rehearsal:
    """Dry runs of several orders. *batch* is not entered: it only says what a killed run left."""

    def __init__(
        self, pool: Pool, ledger: Ledger | None, batch: Batch, listener: BatchListener
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._batch = batch
        self._listener = listener

    def of(self, share: Share) -> Iterator[tuple[str, CompletedRun[Machine]]]:
        """What would become of each missing machine of *share*.

        Who each is, its seed and its definition are decided and checked as the run does it. The
        change of the disks is carried out for the first, on overlays that are thrown away: what
        fails there would fail for all.
        """
        refused: dict[str, UncloneError] = {}
        identities: dict[str, MachineIdentity] = {}
        for name in share.missing:
            try:
                self._batch.require_unclaimed(name)
                _require_folder(share.order, self._batch.folder)
                identities[name] = self._identity(share, name)
            except UncloneError as error:
                refused[name] = error
        decided = list(identities.values())
        refused |= _refused_seeds(share, decided)
        refused |= self._refused_definitions(share, [d for d in decided if d.name not in refused])
        tried: CompletedRun[Machine] | None = None
        for name in share.missing:
            path = self._batch.path(name)
            label = os.fspath(path)
            if name in refused:
                yield name, self._failed(CompletedRun(label, error=refused[name]))
                continue
            identity = identities[name]
            if tried is None:
                work = partial(making.rehearse, share.order, share.golden, identity, path)
                self._listener.begin(label)
                tried = complete(label, self._listener, work)
                self._listener.finish()
                yield name, self._failed(tried)
                if tried.interrupted:
                    return
            elif tried.error is not None:
                yield name, CompletedRun(label, error=tried.error)
            else:
                yield name, CompletedRun(label, result=Machine(identity, path, "planned"))

    def _refused_definitions(
        self, share: Share, identities: Sequence[MachineIdentity]
    ) -> dict[str, UncloneError]:
        """Why definitions would not be made, by machine."""
        golden, order = share.golden, share.order
        refused: dict[str, UncloneError] = {}
        with tempfile.TemporaryDirectory() as nowhere:
            for identity in identities:
                path = self._batch.path(identity.name)
                wanted = definition_files.definition_request(
                    order, golden, identity, Path(nowhere), path, seeded=True
                )
                if wanted is None or golden.definition is None:
                    break
                try:
                    planned = replace(wanted, dry_run=True)
                    defining.define(planned, golden.definition, RecordedPool(identity))
                except UncloneError as error:
                    refused[identity.name] = error
        return refused

    def _identity(self, share: Share, name: str) -> MachineIdentity:
        known = self._batch.decided(name)
        if known is not None and self._ledger is not None and self._ledger.machine(name):
            return known  # an interrupted run is finished with what it had decided
        pool = self._pool
        if self._ledger is not None and self._batch.path(name).exists():
            # It is replaced: its name is its own, and what it has is not given again.
            taken, _ = beside(self._batch.folder)
            pool = Pool(taken=taken, key=share.order.request.options.identities.key)
        return deciding.allocate(share.order, share.golden, name, pool, keep=False)

    def _failed(self, done: CompletedRun[Machine]) -> CompletedRun[Machine]:
        if done.error is not None:
            self._listener.begin(done.image)
            self._listener.fail(failures.describe(done.error), failures.hint_of(done.error))
            self._listener.finish()
        return done


def _require_folder(order: Order, folder: Path) -> None:
    """Raise UncloneError when machines of *order* cannot be made in *folder*."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UncloneError(
            f"machines cannot be made in {shown(folder)}: {shown(there)} "
            + ("cannot be written to" if there.is_dir() else "is no folder"),
            hint="Choose another folder with -o.",
        )
    if order.mode is Mode.REFLINK:
        for disk in order.request.disks:
            making.require_reflinks(disk.path, there)


def _refused_seeds(share: Share, identities: Sequence[MachineIdentity]) -> dict[str, UncloneError]:
    """Why seeds would not be made, by machine: of each by itself where one is not."""
    try:
        making.write_seeds(share.order, share.golden, identities, None)
    except UncloneError as error:
        if len(identities) == 1:
            return {identities[0].name: error}
    else:
        return {}
    return {key: value for one in identities for key, value in _refused_seeds(share, [one]).items()}
