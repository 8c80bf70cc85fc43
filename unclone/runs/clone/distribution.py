"""Machines made by the workers of an executor, on this host or others.

Each chunk of machines is made where the executor likes, in a hidden folder; it is written down
where (``placements``), which is when the machines are made for good; then they get their names
there. An executor may do a chunk again when a worker is lost: only the attempt that is written
down counts.
"""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unclone.images.errors import UncloneError, UsageError
from unclone.images.interrupts import deferred
from unclone.images.text import printable
from unclone.runs.clone import attempt as attempts
from unclone.runs.clone import worker_tasks
from unclone.runs.clone.executors import PlacedExecutor
from unclone.runs.clone.placements import Line, Placements, Whereabouts
from unclone.runs.completed import CompletedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from unclone.runs.clone.batch import Batch
    from unclone.runs.clone.deciding import Share
    from unclone.runs.clone.executors import FleetExecutor
    from unclone.runs.clone.making import Machine
    from unclone.runs.clone.worker_tasks import Made, Place, Work
    from unclone.runs.listener import BatchListener

#: Machines that are made together: a flush, a line in the placements.
CHUNK = 250
#: Workers of an executor that does not say how many it has; chunks that each gets at once.
_WORKERS, _AHEAD = 4, 3
#: Seconds between two looks for Ctrl-C, and between two for lost workers.
_TICK, _LOOK = 0.2, 5.0
#: Seconds until a lost worker's place counts as gone.
PATIENCE = 60.0
#: Seconds that a run which ends early waits for workers to take away what they have begun.
_HURRY = 5.0


@dataclass
class _Naming:
    """Machines that are made and wait for their names."""

    made: Made
    work: Work
    workers: tuple[str, ...] = ()
    since: float = field(default_factory=time.monotonic)


class Distribution:
    """The workers of *executor*, for the run of *batch*. *done* is told of each machine."""

    def __init__(
        self,
        executor: FleetExecutor | PlacedExecutor,
        batch: Batch,
        listener: BatchListener,
        done: Callable[[str, CompletedRun[Machine]], None],
    ) -> None:
        self._executor = executor
        self._placed = executor if isinstance(executor, PlacedExecutor) else None
        self._batch = batch
        self._listener = listener
        self._done = done
        self._own = worker_tasks.place_of(batch.folder)
        self.placements = Placements(batch.folder)
        self._finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._futures: dict[Future[Any], tuple[Work, worker_tasks.Chunk] | _Naming] = {}
        self._homeless: list[_Naming] = []
        self._places: dict[str, Place] = {}
        self._workers: dict[str, list[str]] = {}
        self._works: dict[int, Work] = {}
        self._unstamped: dict[int, str] = {}
        self._looked = 0.0
        self._patience = PATIENCE
        #: Attempts that are written down and not named: they wait for the next run.
        self._unnamed: set[str] = set()

    def sort_out(self, shares: Sequence[Share], many: int) -> None:
        """Find the machines that workers have: they are told, and missing no more."""
        if self._placed is not None:
            self._find_places(shares[0].order.folder)
            if not self._places:
                raise UncloneError("the executor has no worker", hint="Start one and run again.")
        for share in shares:
            self._forget_decided(share)
            if not share.missing:
                continue
            order = share.order
            owner = f"{self._own.id}{self._batch.run}"
            work = worker_tasks.of_work(order, share.golden, share.source, owner)
            self._works[id(share)] = work
            found: dict[str, str] = {}
            reasons = set()
            wrong: set[str] = set()
            for survey in self._surveys(share, work, many):
                reasons.add(survey.unstamped)
                for name, machine in survey.found.items():
                    if name not in share.missing:
                        raise UncloneError(f"a worker speaks of {printable(name)}, unasked")
                    if name in found:
                        self._fail(name, _twice(name, found[name], machine))
                        wrong.add(name)
                        continue
                    found[name] = f"{machine.host}, in {machine.path}"
                    if name not in wrong:
                        self._batch.made_elsewhere(name)
                        self._done(name, CompletedRun(str(machine.path), result=machine))
                for name, error in survey.wrong.items():
                    if name not in wrong:
                        self._fail(name, error)
                        wrong.add(name)
            share.missing[:] = [
                name for name in share.missing if not (name in found or name in wrong)
            ]
            for name in self._out_of_reach(share.missing):
                share.missing.remove(name)
            self._unstamped[id(share)] = next((each for each in sorted(reasons) if each), "")

    def make(self, share: Share, names: Sequence[str]) -> None:
        """Make the machines *names*, as they were decided. Whatever is raised, nothing goes on."""
        if not names:
            return
        work, why = self._works[id(share)], self._unstamped[id(share)]
        if why:
            self._listener.say(f"each of {len(names)} machines is sanitised by itself: {why}")
        self._listener.expect(len(names))
        chunks = self._chunks(share, names, work, stamped=not why)
        following = next(chunks, None)
        try:
            while following or self._futures or self._homeless:
                while following and len(self._futures) < _AHEAD * self._count():
                    self._watch(self._executor.submit(following), (work, following))
                    following = next(chunks, None)
                with suppress(queue.Empty):
                    self._take(self._finished.get(timeout=_TICK))
                self._listener.tick()
                self._look_for_lost()
        except BaseException:
            for future in self._futures:
                future.cancel()
            self._futures.clear()
            self._patience = _HURRY
            raise

    def sweep(self, folder: Path) -> None:
        """Take away what attempts of this run have left, at each place that can be reached."""
        owner = f"{self._own.id}{self._batch.run}"
        if self._placed is None:
            attempts.sweep(self._own.folder, owner)
            return
        with suppress(UncloneError, TimeoutError, OSError):
            present = self._placed.workers()
            swept = [
                self._placed.submit_to(
                    [each], worker_tasks.sweep, folder.absolute(), owner, self._unnamed
                )
                for each in present
            ]
            until = time.monotonic() + self._patience
            for each in swept:
                with suppress(Exception):  # a worker that hangs: its next run sweeps
                    each.result(timeout=max(0.1, until - time.monotonic()))

    def _forget_decided(self, share: Share) -> None:
        """Of machines that are there: a run was killed when it had just given them their names."""
        missing = {*share.missing}
        for name in share.order.names:
            if name not in missing and self._batch.hidden(name).exists():
                self._batch.require_unclaimed(name)
                self._batch.made_elsewhere(name)

    # -- what is there ---------------------------------------------------------------------
    def _find_places(self, folder: Path) -> None:
        """Ask each worker that is not known which place it has."""
        if self._placed is None:
            return
        known = {each for workers in self._workers.values() for each in workers}
        present = self._placed.workers()
        asked = {
            each: self._placed.submit_to([each], worker_tasks.place, folder.absolute())
            for each in present
            if each not in known
        }
        self._workers = {
            place: [each for each in workers if each in present]
            for place, workers in self._workers.items()
        }
        for worker, future in asked.items():
            try:
                found = future.result(timeout=PATIENCE)
            except TimeoutError:
                continue  # lost again, or busy with a long task: asked later
            if not isinstance(found, worker_tasks.Place):
                raise UsageError(f"{worker} does not speak as this version of unclone does")
            self._places[found.id] = found
            self._workers.setdefault(found.id, []).append(worker)

    def _surveys(self, share: Share, work: Work, many: int) -> Iterator[worker_tasks.Survey]:
        own = worker_tasks.order_of(share.order, share.missing)
        source = worker_tasks.source_of(share.source, share.missing)
        live = [f"{self._own.id}{run}" for run in self._batch.lives() if run != self._batch.run]
        by_place: dict[str, dict[str, str]] = {}
        for name in share.missing:
            at = self.placements.at(name)
            if at is not None:
                by_place.setdefault(at.place, {})[name] = at.attempt
        if self._placed is None:
            yield worker_tasks.survey(work, own, source, by_place.get(self._own.id, {}), live, many)
            return
        asked = [
            self._placed.submit_to(
                workers, worker_tasks.survey, work, own, source, by_place.get(place, {}), live, many
            )
            for place, workers in self._workers.items()
            if workers
        ]
        for future in asked:
            while True:
                try:
                    survey = future.result(timeout=_TICK)
                except TimeoutError:
                    self._listener.tick()
                    if future.done():
                        raise
                else:
                    break
            yield survey

    def _out_of_reach(self, names: Sequence[str]) -> list[str]:
        """Those of *names* that are made, at a place without a worker."""
        lost = []
        for name in names:
            at = self.placements.at(name)
            if at is None or at.place in self._places:
                continue
            lost.append(name)
            self._fail(
                name,
                UncloneError(
                    f"{printable(name)} is in {printable(at.folder)} on {printable(at.host)}, "
                    "where no worker runs",
                    hint="Start one there and run again. When that host is gone for good, remove "
                    f"its lines from {self.placements.path}: its machines are then made elsewhere.",
                ),
            )
        return lost

    # -- what is made ----------------------------------------------------------------------
    def _chunks(
        self, share: Share, names: Sequence[str], work: Work, *, stamped: bool
    ) -> Iterator[worker_tasks.Chunk]:
        size = 1
        if stamped:
            size = max(1, min(CHUNK, -(-len(names) // (4 * self._count()))))
        for start in range(0, len(names), size):
            some = names[start : start + size]
            own = worker_tasks.order_of(share.order, some)
            identities = tuple(self._batch.identity(name) for name in some)
            yield worker_tasks.Chunk(
                work, own, worker_tasks.source_of(share.source, some), identities, stamped
            )

    def _count(self) -> int:
        return sum(map(len, self._workers.values())) or _WORKERS

    def _watch(self, future: Future[Any], what: tuple[Work, worker_tasks.Chunk] | _Naming) -> None:
        self._futures[future] = what
        future.add_done_callback(self._finished.put)

    def _take(self, future: Future[Any]) -> None:
        what = self._futures.pop(future, None)
        if what is None:
            return
        if isinstance(what, _Naming):
            self._named(future, what)
            return
        work, chunk = what
        names = [each.name for each in chunk.identities]
        try:
            made = future.result()
            worker_tasks.check(made, names)
        except Exception as error:  # noqa: BLE001 (other machines are still made)
            for name in names:
                self._fail(name, error)
            return
        for name, failure in made.failures.items():
            self._fail(name, failure)
        if not made.machines:
            return
        self._places.setdefault(made.place.id, made.place)
        if made.place.id != self._own.id:
            at = Whereabouts(made.place.id, made.place.host, str(made.place.folder), made.attempt)
            complete = [each for each in chunk.identities if each.name in made.digests]
            self._unnamed.add(made.attempt)
            with deferred():  # written down, they are machines: the ledger keeps their rows
                self.placements.add(Line(each, at, made.digests[each.name]) for each in complete)
                for each in complete:
                    self._batch.made_elsewhere(each.name)
        self._name(_Naming(made, work))

    def _name(self, naming: _Naming) -> None:
        made = naming.made
        names = [each.identity.name for each in made.machines]
        if made.place.id == self._own.id:  # the folder is this run's
            with deferred():
                try:
                    attempts.publish(self._own.folder, made.attempt, names)
                except UncloneError as error:
                    for name in names:
                        if not attempts.waits(self._own.folder, made.attempt, name):
                            self._batch.made_elsewhere(name)  # it has its name already
                        self._fail(name, error)
                else:
                    for name in names:
                        self._batch.made_elsewhere(name)
                    self._tell(made)
            return
        workers = tuple(self._workers.get(made.place.id, ()))
        if self._placed is None or not workers:
            self._homeless.append(naming)
            return
        naming.workers = workers
        folder = naming.work.order.folder
        future = self._placed.submit_to(
            workers, worker_tasks.publish, folder, made.place.id, made.attempt, names
        )
        self._watch(future, naming)

    def _named(self, future: Future[Any], naming: _Naming) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._tell(naming.made)
            return
        for each in naming.made.machines:
            self._fail(each.identity.name, error)

    def _look_for_lost(self) -> None:
        """Have machines named by another worker of their place, where theirs was lost."""
        now = time.monotonic()
        if self._placed is None or now < self._looked + _LOOK:
            return
        waiting = [each for each in self._futures.values() if isinstance(each, _Naming)]
        if not waiting and not self._homeless:
            return
        self._looked = now
        present = set(self._placed.workers())
        for future, what in list(self._futures.items()):
            if isinstance(what, _Naming) and not present & set(what.workers):
                del self._futures[future]
                future.cancel()
                self._homeless.append(what)
        if self._homeless:
            self._find_places(self._homeless[0].work.order.folder)
        homeless, self._homeless = self._homeless, []
        busy = any(not isinstance(each, _Naming) for each in self._futures.values())
        for naming in homeless:
            if busy:  # there is time as long as machines are made
                naming.since = now
            place = naming.made.place
            if self._workers.get(place.id) or now < naming.since + PATIENCE:
                self._name(naming)
                continue
            for each in naming.made.machines:
                name = each.identity.name
                words = f"{printable(name)} is complete on {printable(place.host)}, and has no name"
                hint = f"Its worker was lost. Start one for {place.folder} and run again."
                self._fail(name, UncloneError(f"{words} there yet", hint=hint))

    def _tell(self, made: Made) -> None:
        self._unnamed.discard(made.attempt)
        for each in made.machines:
            path = str(each.path)
            self._listener.begin(path)
            self._listener.finish()
            self._done(each.identity.name, CompletedRun(path, result=each))

    def _fail(self, name: str, error: BaseException) -> None:
        self._done(name, CompletedRun(str(self._batch.path(name)), error=error))


def _twice(name: str, first: str, second: Machine) -> UncloneError:
    return UncloneError(
        f"{printable(name)} is in two places: on {first}, and on {second.host}, in {second.path}",
        hint="Remove one of them.",
    )
