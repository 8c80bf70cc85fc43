"""Machines from a stamp, many at a time: no engine, no QEMU, one flush for all."""

from __future__ import annotations

import gc
import io
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from unclone.images.errors import UncloneError
from unclone.images.files import explained
from unclone.images.qcow2_overlay import Overlay
from unclone.images.text import shown
from unclone.runs import define as defining
from unclone.runs.clone.batch import RECORD
from unclone.runs.clone.definition_files import (
    SEED,
    definition_notes,
    definition_request,
    disk_names,
)
from unclone.runs.clone.making import Machine, backing_states, record, write_seeds
from unclone.sanitize.identities.machine import RecordedPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.making import Seeded
    from unclone.runs.clone.order import MadeFrom, Order
    from unclone.runs.clone.preparing import Prepared
    from unclone.sanitize.identities.machine import MachineIdentity

#: Machines that are flushed and appear together.
CHUNK = 250
#: Of these, how many seeds are made at once: what they are made of is in memory.
_PART = 25
#: As in ``__main__``.
_THRESHOLD = (200_000, 20, 100)


class Workplace(Protocol):
    """Where machines are made: a :class:`batch.Batch`, or an :class:`attempt.Attempt`."""

    def path(self, name: str) -> Path:
        """The folder that the machine *name* will have."""

    def hidden(self, name: str) -> Path:
        """The folder in which the machine *name* is made."""


class Stamper:
    """Makes machines of *order* from the *prepared* image."""

    def __init__(self, order: Order, golden: Golden, source: MadeFrom, prepared: Prepared) -> None:
        self._order = order
        self._golden = golden
        self._source = source
        self._prepared = prepared
        self._backing = backing_states([str(image) for image in prepared.images])
        self._overlays = [
            Overlay(image, "qcow2", stamp.size, set(stamp.blocks))
            for image, stamp in zip(prepared.images, prepared.stamps, strict=True)
        ]

    def make(
        self, decided: Sequence[MachineIdentity], workplace: Workplace, tick: Callable[[], None]
    ) -> list[Machine]:
        """Make the machines *decided* in their hidden folders, which are there.

        Raises UncloneError. *tick* is called for each.
        """
        with _few_collections():
            return self._make(decided, workplace, tick)

    def _make(
        self, decided: Sequence[MachineIdentity], workplace: Workplace, tick: Callable[[], None]
    ) -> list[Machine]:
        made: list[Machine] = []
        for start in range(0, len(decided), _PART):
            gc.collect(1)
            identities = decided[start : start + _PART]
            folders = {identity.name: workplace.hidden(identity.name) for identity in identities}
            seeds = write_seeds(self._order, self._golden, identities, folders)
            for identity in identities:
                path = workplace.path(identity.name)
                made.append(self._machine(identity, folders[identity.name], path, seeds))
                tick()
        return made

    def _machine(
        self,
        identity: MachineIdentity,
        folder: Path,
        path: Path,
        seeds: dict[str, Seeded],
    ) -> Machine:
        files = list(disk_names(self._order))
        values = self._prepared.values_of(identity)
        for name, overlay, stamp in zip(files, self._overlays, self._prepared.stamps, strict=True):
            content = stamp.stamped({key: values[key] for key in stamp.values})
            with explained("write the machine's disk", folder):
                overlay.write(folder / name, content)
                whole = overlay.holds(folder / name, content)
            if not whole:
                raise UncloneError(f"what was read back from {shown(folder / name)} is not right")
        seed = seeds.get(identity.name)
        has_seed, notes = seed is not None, seed.notes if seed else ()
        if has_seed:
            files.append(SEED)
        request = definition_request(
            self._order, self._golden, identity, folder, path, seeded=has_seed
        )
        if request is not None and self._golden.definition is not None:
            stream = io.BytesIO()
            defined = defining.define(
                request, self._golden.definition, RecordedPool(identity), stream
            )
            output = defining.output_of(request)
            with explained("write the machine's definition", folder):
                output.write_bytes(stream.getvalue())
            files += [output.name, *(each.target.name for each in defined.associated_files)]
            notes = (*notes, *definition_notes(self._order, defined, path, seeded=has_seed))
        own = self._as_made(identity)
        record(folder, own, self._source, sorted(files), self._backing)
        made = Machine(own, path, "done", (*sorted(files), RECORD), tuple(self._backing), notes)
        return replace(made, password=seed.password if seed else "")

    def _as_made(self, identity: MachineIdentity) -> MachineIdentity:
        """What was decided, with what machines of this image keep."""
        return replace(
            identity,
            machine_id=identity.machine_id if self._prepared.gives_machine_id else "",
            identifiers={**identity.identifiers, **self._prepared.values},
        )


@contextmanager
def _few_collections() -> Iterator[None]:
    """Have Python look for cycles as rarely as in the command, whatever process this is.

    What a machine leaves is collected after each part; a worker of a cluster has much else.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
