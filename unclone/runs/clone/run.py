"""The run of ``unclone clone``: look, decide for all, make one after the other, or at once."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.images.interrupts import deferred
from unclone.runs import failures
from unclone.runs.clone import deciding
from unclone.runs.clone.batch import Batch, read_record
from unclone.runs.clone.deciding import Share
from unclone.runs.clone.job import Job, execute
from unclone.runs.clone.ledger_rows import pool_for, set_aside, settle
from unclone.runs.clone.order import Mode, made_from
from unclone.runs.clone.presence import Presence, recorded
from unclone.runs.completed import CompletedRun
from unclone.runs.listener import NullListener
from unclone.runs.worker_pool import default_jobs

#: So many machines are worth the preparation, which takes as long as some ten of them.
STAMPED_FROM = 8

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.order import Order
    from unclone.runs.listener import BatchListener
    from unclone.sanitize.identities.machine import MachineIdentity


def clone(
    order: Order,
    listener: BatchListener | None = None,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    on_error: Callable[[BaseException], None] = lambda _: None,
    on_done: Callable[[CompletedRun[Machine]], None] = lambda _: None,
    register: Callable[[Machine], Machine] | None = None,
) -> list[CompletedRun[Machine]]:
    """Make the machines of *order* that are not there; what became of each, in its order.

    Raises ``UncloneError`` when none can be made. The failure of one machine stops no other.
    *executor* makes them instead of this host's processes: what it is given can be pickled.
    *on_done* is called with each as it comes. *register* is called with each that is made or there
    already, and returns it (``libvirt.register``).
    """
    run = _Run(
        listener or NullListener(),
        jobs or default_jobs(),
        executor,
        on_error,
        on_done,
        register,
        is_fleet=False,
    )
    done = run.make([order])
    return [done[name] for name in order.names if name in done]


def clone_fleet(
    orders: Sequence[Order],
    listener: BatchListener | None = None,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    on_error: Callable[[BaseException], None] = lambda _: None,
    on_done: Callable[[CompletedRun[Machine]], None] = lambda _: None,
    register: Callable[[Machine], Machine] | None = None,
) -> dict[str, CompletedRun[Machine]]:
    """As :func:`clone`, of several *orders*: what became of each machine, by its name.

    All have the same folder, ledger, key, and whether it is a dry run. What is wrong with one
    order, or with a machine that is there, stops no other.
    """
    run = _Run(
        listener or NullListener(),
        jobs or default_jobs(),
        executor,
        on_error,
        on_done,
        register,
        is_fleet=True,
    )
    return run.make(orders)


@dataclass
class _Run:
    listener: BatchListener
    jobs: int
    executor: Executor | None
    on_error: Callable[[BaseException], None]
    on_done: Callable[[CompletedRun[Machine]], None]
    register: Callable[[Machine], Machine] | None
    #: Whether what stops one machine stops no other, even before any is made.
    is_fleet: bool
    done: dict[str, CompletedRun[Machine]] = field(default_factory=dict)

    def make(self, orders: Sequence[Order]) -> dict[str, CompletedRun[Machine]]:
        seen: set[str] = set()
        for order in orders:
            deciding.check_names(order, seen)
        shares = self._look(orders)
        if not shares:
            return self.done
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
            return self.done
        with Batch(folder) as batch:
            self._sort_out(shares, batch.folder)
            replaced: list[str] = []
            try:
                with pool_for([each.order for each in shares], batch.folder) as (pool, ledger):
                    missing = [name for share in shares for name in share.missing]
                    replaced = set_aside(missing, batch, ledger)
                    for warning in pool.warnings:
                        self.listener.warn(warning)
                    wanted = [(each.order, each.golden, each.missing) for each in shares]
                    with deferred():  # or a row might be kept that nobody knows of
                        decided = deciding.decide(
                            wanted, pool, ledger, batch, partial(self._refuse, batch.folder)
                        )
                for share, identities in zip(shares, decided, strict=True):
                    self._make(share, identities, batch)
                    if any(each.interrupted for each in self.done.values()):
                        break
            finally:
                settle(batch, replaced, first.ledger)
        return self.done

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

    def _make(self, share: Share, identities: Sequence[MachineIdentity], batch: Batch) -> None:
        names = {os.fspath(batch.path(each.name)): each.name for each in identities}

        def end(done: CompletedRun[Machine]) -> None:
            self._end(names[done.image], done)

        order, golden, source = share.order, share.golden, share.source
        if _stamped(share, identities, batch, self.listener, end):
            return
        if identities and order.mode is Mode.OVERLAY:
            protect(order)
        jobs = [Job(order, golden, source, each, batch) for each in identities]
        execute(
            jobs,
            self.executor,
            self.listener,
            workers=1 if order.request.passphrase else self.jobs,
            on_error=self.on_error,
            on_done=end,
        )

    def _refuse(self, folder: Path, name: str, error: UncloneError) -> None:
        if not self.is_fleet:
            raise error
        path = os.fspath(folder / name)
        self.listener.begin(path)
        self.listener.fail(failures.describe(error), failures.hint_of(error))
        self.listener.finish()
        self._end(name, CompletedRun(path, error=error))

    def _end(self, name: str, done: CompletedRun[Machine]) -> None:
        if self.register is not None and done.result and done.result.status != "planned":
            done = replace(done, result=self.register(done.result))
        self.done[name] = done
        self.on_done(done)


def _stamped(
    share: Share,
    identities: Sequence[MachineIdentity],
    batch: Batch,
    listener: BatchListener,
    on_done: Callable[[CompletedRun[Machine]], None],
) -> bool:
    """Stamp the machines; False, and nothing done, where each has to be sanitised."""
    order, golden, source = share.order, share.golden, share.source
    if order.mode is not Mode.OVERLAY or len(identities) < STAMPED_FROM:
        return False
    from unclone.runs.clone import preparing, stamping  # noqa: PLC0415 (only for many)

    try:
        prepared = preparing.prepared(order, golden, source, listener)
    except preparing.NotStampedError as reason:
        listener.say(
            f"each of {len(identities)} machines is sanitised by itself, which takes at least "
            f"{share.looked:.1f} s: {reason}"
        )
        return False
    listener.expect(len(identities))
    stamper = stamping.Stamper(order, golden, source, prepared)
    pending = [
        identities[start : start + stamping.CHUNK]
        for start in range(0, len(identities), stamping.CHUNK)
    ]
    while pending:
        chunk = pending.pop(0)
        try:
            made = stamper.make(chunk, batch, listener.tick)
        except Exception as error:  # noqa: BLE001 (the other machines are still made)
            unmade = [each for each in chunk if batch.hidden(each.name).exists()]
            for identity in unmade:
                batch.clear(identity.name)
            if len(chunk) > 1:  # one of them: which, shows when each is made by itself
                made = [_appeared(batch.path(each.name)) for each in chunk if each not in unmade]
                _tell(made, listener, on_done)
                pending[:0] = [[identity] for identity in unmade]
                continue
            path = os.fspath(batch.path(chunk[0].name))
            listener.begin(path)
            listener.fail(failures.describe(error), failures.hint_of(error))
            listener.finish()
            on_done(CompletedRun(path, error=error))
            continue
        _tell(made, listener, on_done)
    return True


def _tell(
    made: Sequence[Machine],
    listener: BatchListener,
    on_done: Callable[[CompletedRun[Machine]], None],
) -> None:
    for each in made:
        listener.begin(os.fspath(each.path))
        listener.finish()
        on_done(CompletedRun(os.fspath(each.path), result=each))


def _appeared(path: Path) -> Machine:
    """The machine that has just been made as *path*."""
    return recorded(read_record(path) or {}, path, "done")


def protect(order: Order) -> None:
    """Take the permission to write from the golden image: a change would break its overlays."""
    for disk in order.request.disks:
        path = disk.path.resolve()
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o222 and os.access(path, os.W_OK):
            try:
                path.chmod(mode & ~0o222)
            except OSError:
                continue  # another's file: then they take care of it
