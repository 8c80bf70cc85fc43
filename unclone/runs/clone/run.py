"""The run of ``unclone clone``: look, decide for all, make one after the other, or at once."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError, UsageError
from unclone.images.interrupts import deferred, interrupt_number
from unclone.runs import failures
from unclone.runs.clone import deciding
from unclone.runs.clone.batch import Batch
from unclone.runs.clone.deciding import Share
from unclone.runs.clone.definition_files import check_nvram
from unclone.runs.clone.job import Job, execute
from unclone.runs.clone.ledger_rows import pool_for, set_aside, settle
from unclone.runs.clone.order import Mode, made_from
from unclone.runs.clone.outcomes import Outcomes
from unclone.runs.clone.presence import Presence
from unclone.runs.clone.protection import protect
from unclone.runs.completed import CompletedRun
from unclone.runs.listener import NullListener
from unclone.runs.worker_pool import default_jobs

#: So many machines are worth the preparation, which takes as long as some ten of them.
STAMPED_FROM = 8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.distribution import Distribution
    from unclone.runs.clone.executors import FleetExecutor, PlacedExecutor
    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.order import Order
    from unclone.runs.listener import BatchListener


@dataclass
class Run:
    """How machines are made, from one order or several.

    *executor* makes them instead of up to *jobs* processes of this host: one of
    ``concurrent.futures``, or one whose workers have folders of their own (``executors``). It is
    not shut down. *on_done* is called with each as it comes. *register* is called with each that is
    made or there already, and returns it (``libvirt.register``).
    """

    listener: BatchListener = field(default_factory=NullListener)
    jobs: int | None = None
    executor: FleetExecutor | PlacedExecutor | None = None
    on_error: Callable[[BaseException], None] = lambda _: None
    on_done: Callable[[CompletedRun[Machine]], None] = lambda _: None
    register: Callable[[Machine], Machine] | None = None
    _done: Outcomes = field(default_factory=Outcomes, init=False)
    #: Whether what stops one machine stops no other, even before any is made.
    _is_fleet: bool = field(default=False, init=False)

    def clone(self, order: Order) -> Outcomes:
        """Make the machines of *order* that are not there; what became of each, in its order.

        Raises ``UncloneError`` when none can be made. The failure of one machine stops no other.
        """
        self._done, self._is_fleet = Outcomes(order.names), False
        self._make_all([order])
        return self._done

    def clone_fleet(self, orders: Sequence[Order], names: Sequence[str] = ()) -> Outcomes:
        """As :meth:`clone`, of several *orders*; what became of each machine, as *names* list them.

        All have the same folder, ledger, key, and whether it is a dry run. What is wrong with one
        order, or with a machine that is there, stops no other.
        """
        listed = names or [name for order in orders for name in order.names]
        self._done, self._is_fleet = Outcomes(listed), True
        self._make_all(orders)
        return self._done

    def _make_all(self, orders: Sequence[Order]) -> None:
        deciding.check_names(orders)
        shares = self._look(orders)
        if not shares:
            return
        first = shares[0].order
        folder = first.folder.absolute()
        if first.dry_run:
            self._sort_out(shares, folder)
            from unclone.runs.clone import rehearsing  # noqa: PLC0415 (only for a dry run)

            with pool_for([each.order for each in shares], folder) as (pool, ledger):
                rehearsal = rehearsing.Rehearsal(pool, ledger, Batch(folder), self.listener)
                for share in shares:
                    for name, done in rehearsal.of(share):
                        self._end(name, done)
            return
        with Batch(folder) as batch:
            self._sort_out(shares, batch.folder)
            distribution = self._distribution(shares, batch)
            if not any(share.missing for share in shares):
                return
            replaced: list[str] = []
            try:
                decided = self._decide(shares, batch, replaced, distribution)
                for share, names in zip(shares, decided, strict=True):
                    if distribution is not None:
                        distribution.make(share, names)
                        continue
                    self._make(share, names, batch)
                    if self._done.interrupted:
                        break
            except KeyboardInterrupt as interrupt:
                raise failures.InterruptedFleet(interrupt_number(interrupt)) from interrupt
            finally:
                settle(batch, replaced, first.ledger)
                if distribution is not None:
                    distribution.sweep(folder)

    def _distribution(self, shares: Sequence[Share], batch: Batch) -> Distribution | None:
        """The executor's workers, which have said what is there; None without an executor."""
        if self.executor is None:
            return None
        for share in shares:
            if share.order.replace or share.order.request.passphrase:
                raise UsageError(
                    "an executor replaces no machines, and opens no image with a passphrase",
                    hint="Remove the machines where they are, and run again; use --key-file.",
                )
        from unclone.runs.clone.distribution import Distribution  # noqa: PLC0415 (only for an executor)

        distribution = Distribution(self.executor, batch, self.listener, self._end_of_distribution)
        distribution.sort_out(shares, STAMPED_FROM)
        return distribution

    def _end_of_distribution(self, name: str, done: CompletedRun[Machine]) -> None:
        if done.error is not None:
            self.on_error(done.error)
            self.listener.begin(done.image)
            self.listener.fail(failures.describe(done.error), failures.hint_of(done.error))
            self.listener.finish()
        self._end(name, done)

    def _decide(
        self,
        shares: Sequence[Share],
        batch: Batch,
        replaced: list[str],
        distribution: Distribution | None,
    ) -> Sequence[Sequence[str]]:
        """Decide who the missing machines are: the names of those that are decided, by share.

        *replaced* gets the names of those that are there. What was needed to decide is let go.
        """
        with pool_for([each.order for each in shares], batch.folder) as (pool, ledger):
            missing = [name for share in shares for name in share.missing]
            replaced += set_aside(missing, batch, ledger)
            for warning in pool.warnings:
                self.listener.warn(warning)
            wanted = [(each.order, each.golden, each.missing) for each in shares]
            with deferred():  # or a row might be kept that nobody knows of
                refuse = partial(self._refuse, batch.folder)
                booked = (
                    distribution.placements.identity if distribution is not None else lambda _: None
                )
                return deciding.decide(wanted, pool, ledger, batch, refuse, booked)

    def _look(self, orders: Sequence[Order]) -> list[Share]:
        """The orders whose golden image can be opened; each image is opened once."""
        shares = []
        seen: dict[str, tuple[Golden, float]] = {}
        for order in orders:
            request = order.request
            key = repr(
                (request.disks, request.key_files, request.engine, request.allow, order.definition)
            )
            try:
                source = made_from(order)
                if key not in seen:
                    self.listener.begin(os.fspath(request.image))
                    began = time.monotonic()
                    golden = deciding.look(order, self.listener)
                    seen[key] = golden, time.monotonic() - began
                    self.listener.finish()
                golden, seconds = seen[key]
                check_nvram(order, golden)
                shares.append(Share(order, golden, source, seconds))
            except UncloneError as error:
                for name in order.names:
                    self._refuse(order.folder.absolute(), name, error)
        return shares

    def _sort_out(self, shares: Sequence[Share], folder: Path) -> None:
        """Which machines are there."""
        for share in shares:
            presence = Presence(share.order, share.source)
            for name in share.order.names:
                try:
                    found = presence.machine(folder / name)
                except UncloneError as error:
                    self._refuse(folder, name, error)
                    continue
                if found is None:
                    share.missing.append(name)
                else:
                    self._end(name, CompletedRun(os.fspath(folder / name), result=found))
            share.source = replace(share.source, asked=presence.asked())

    def _make(self, share: Share, names: Sequence[str], batch: Batch) -> None:
        order, golden, source = share.order, share.golden, share.source
        if self._stamped(share, names, batch):
            return
        if names and order.mode is Mode.OVERLAY:
            protect(order)
        execute(
            [Job(order, golden, source, name, batch) for name in names],
            self.listener,
            workers=1 if order.request.passphrase else self.jobs or default_jobs(),
            on_error=self.on_error,
            on_done=self._made,
        )

    def _refuse(self, folder: Path, name: str, error: UncloneError) -> None:
        if not self._is_fleet:
            raise error
        path = os.fspath(folder / name)
        self.listener.begin(path)
        self.listener.fail(failures.describe(error), failures.hint_of(error))
        self.listener.finish()
        self._end(name, CompletedRun(path, error=error))

    def _made(self, done: CompletedRun[Machine]) -> None:
        self._end(Path(done.image).name, done)

    def _end(self, name: str, done: CompletedRun[Machine]) -> None:
        if self.register is not None and done.result and done.result.status != "planned":
            done = replace(done, result=self.register(done.result))
        self._done.add(name, done)
        self.on_done(done)

    def _stamped(self, share: Share, names: Sequence[str], batch: Batch) -> bool:
        """Stamp the machines; False, and nothing done, where each has to be sanitised."""
        order, golden, source = share.order, share.golden, share.source
        if order.mode is not Mode.OVERLAY or len(names) < STAMPED_FROM:
            return False
        from unclone.runs.clone import preparing, stamping  # noqa: PLC0415 (only for many)

        try:
            prepared = preparing.prepared(order, golden, source, self.listener)
        except preparing.NotStampedError as reason:
            self.listener.say(
                f"each of {len(names)} machines is sanitised by itself, which takes at least "
                f"{share.looked:.1f} s: {reason}"
            )
            return False
        self.listener.expect(len(names))
        stamper = stamping.Stamper(order, golden, source, prepared)
        pending = [
            names[start : start + stamping.CHUNK] for start in range(0, len(names), stamping.CHUNK)
        ]
        while pending:
            chunk = pending.pop(0)
            try:
                decided = [batch.identity(name) for name in chunk]
                made = stamper.make(decided, batch, self.listener.tick)
                with deferred():  # what has appeared is told: its password is nowhere else
                    try:
                        batch.appear(chunk, replace=order.replace)
                    finally:
                        self._tell(m for m in made if not batch.hidden(m.identity.name).exists())
            except Exception as error:  # noqa: BLE001 (the other machines are still made)
                unmade = [name for name in chunk if batch.hidden(name).exists()]
                for name in unmade:
                    batch.clear(name)
                if len(chunk) > 1:  # one of them: which, shows when each is made by itself
                    pending[:0] = [[name] for name in unmade]
                    continue
                path = os.fspath(batch.path(chunk[0]))
                self.listener.begin(path)
                self.listener.fail(failures.describe(error), failures.hint_of(error))
                self.listener.finish()
                self._made(CompletedRun(path, error=error))
        return True

    def _tell(self, made: Iterable[Machine]) -> None:
        for each in made:
            path = os.fspath(each.path)
            self.listener.begin(path)
            self.listener.finish()
            self._made(CompletedRun(path, result=each))
