"""The run of ``unclone clone``: look, decide for all, make one after the other, or at once."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError, UsageError
from unclone.images.interrupts import deferred
from unclone.images.text import printable, shown
from unclone.runs import failures
from unclone.runs.clone import deciding, making
from unclone.runs.clone.batch import RECORD, Batch, read_record
from unclone.runs.clone.making import Machine
from unclone.runs.clone.order import Mode, made_from
from unclone.runs.completed import CompletedRun, complete
from unclone.runs.worker_pool import Task, default_jobs, run_all
from unclone.sanitize.definitions.identity_map import require_name
from unclone.sanitize.identities.allocation import Pool
from unclone.sanitize.identities.avoidance import scan
from unclone.sanitize.identities.machine import MachineIdentity

#: So many machines are worth the preparation, which takes as long as some ten of them.
STAMPED_FROM = 8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.runs.clone.deciding import Golden
    from unclone.runs.clone.order import MadeFrom, Order
    from unclone.runs.listener import BatchListener
    from unclone.sanitize.identities.ledger import Ledger


def clone(
    order: Order,
    listener: BatchListener,
    *,
    jobs: int | None = None,
    on_error: Callable[[BaseException], None] = lambda _: None,
) -> list[CompletedRun[Machine]]:
    """Make the machines of *order* that are not there; what became of each, in its order.

    Raises ``UncloneError`` when none can be made. The failure of one machine stops no other.
    """
    deciding.check_names(order)
    source = made_from(order)
    listener.begin(os.fspath(order.request.image))
    golden = deciding.look(order, listener)
    listener.finish()
    if order.dry_run:
        return _rehearsed(order, golden, source, listener)
    with Batch(order.folder) as batch:
        present = {name: _present(order, source, batch.path(name)) for name in order.names}
        missing = [name for name, found in present.items() if found is None]
        replaced: list[str] = []
        try:
            with _pool(order, batch.folder) as (pool, ledger):
                replaced = _set_aside(missing, batch, ledger)
                for warning in pool.warnings:
                    listener.warn(warning)
                with deferred():  # or a row might be kept that nobody knows of
                    identities = deciding.decide(order, golden, missing, pool, ledger, batch)
            done = _stamped(order, golden, source, identities, batch, listener)
            if done is None:
                if missing and order.mode is Mode.OVERLAY:
                    protect(order)
                work = partial(making.make, order, golden, source)
                done = _made(work, identities, batch, listener, jobs or default_jobs(), on_error)
        finally:
            _settle(batch, replaced, order.ledger)
    made = {each.image: each for each in done}
    runs = []
    for name in order.names:
        path = os.fspath(batch.path(name))
        found = present[name]
        if found is not None:
            runs.append(CompletedRun(path, result=found))
        elif path in made:
            runs.append(made[path])
    return runs


def _stamped(
    order: Order,
    golden: Golden,
    source: MadeFrom,
    identities: Sequence[MachineIdentity],
    batch: Batch,
    listener: BatchListener,
) -> Sequence[CompletedRun[Machine]] | None:
    """The machines, stamped; None where each has to be sanitised."""
    if order.mode is not Mode.OVERLAY or len(identities) < STAMPED_FROM:
        return None
    from unclone.runs.clone import preparing, stamping  # noqa: PLC0415 (only for many)

    try:
        prepared = preparing.prepared(order, golden, source, listener)
    except preparing.NotStampedError as reason:
        listener.say(f"each machine is sanitised by itself: {reason}")
        return None
    stamper = stamping.Stamper(order, golden, source, prepared)
    done: list[CompletedRun[Machine]] = []
    for start in range(0, len(identities), stamping.CHUNK):
        chunk = identities[start : start + stamping.CHUNK]
        try:
            made = stamper.make(chunk, batch, listener.tick)
            done += [CompletedRun(os.fspath(each.path), result=each) for each in made]
        except Exception as error:  # noqa: BLE001 (the other machines are still made)
            listener.fail(failures.describe(error), failures.hint_of(error))
            done += [CompletedRun(os.fspath(batch.path(i.name)), error=error) for i in chunk]
    return done


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


def _made(
    work: Callable[..., Machine],
    identities: Sequence[MachineIdentity],
    batch: Batch,
    listener: BatchListener,
    jobs: int,
    on_error: Callable[[BaseException], None],
) -> Sequence[CompletedRun[Machine]]:
    def task(identity: MachineIdentity) -> Callable[..., Machine]:
        return lambda seen: work(identity, batch, seen)

    names = [os.fspath(batch.path(identity.name)) for identity in identities]
    workers = min(jobs, len(identities))
    if workers > 1:
        tasks = [Task(n, task(identity)) for n, identity in zip(names, identities, strict=True)]
        return run_all(tasks, listener, jobs=workers, on_error=on_error)
    done = []
    for name, identity in zip(names, identities, strict=True):
        listener.begin(name)
        done.append(complete(name, listener, task(identity)))
        error = done[-1].error
        if error is not None:
            on_error(error)
            listener.fail(failures.describe(error), failures.hint_of(error))
        listener.finish()
        if done[-1].interrupted:
            break
    return done


def _present(order: Order, source: MadeFrom, path: Path) -> Machine | None:
    """The machine at *path*, if it is there, made from the same; None to make it, perhaps again.

    Raises RefusedError for one that was made from something else, and is not to be replaced.
    """
    record = read_record(path)
    if record is None:
        return None
    if order.replace:
        return None
    if record.get("made_from") == source.to_json():
        identity = MachineIdentity.from_json(record["machine"])
        files = tuple(str(each["path"]) for each in record["files"])
        backing = tuple(map(str, record["backing"]))
        needed = [(path / each, "file") for each in files]
        needed += [(Path(each), "backing file") for each in backing]
        for each, what in needed:
            if not each.is_file():
                raise RefusedError(
                    f"{shown(path)} is there, and its {what} {shown(each)} is not",
                    hint="Bring it back, or give --replace to make the machine anew.",
                )
        return Machine(identity, path, "present", (*files, RECORD), backing)
    what = _difference(record.get("made_from"), source)
    raise RefusedError(
        f"{shown(path)} is there, and was made from something else: {what}",
        hint="Give --replace to make it anew, with a new identity; or choose another name.",
    )


def _difference(before: object, now: MadeFrom) -> str:
    """Which part of what a machine is made from is not what it was."""
    if not isinstance(before, dict):
        return "its record does not say from what"
    names = {
        "images": "the golden image has changed, or is another one",
        "definition": "the definition is another",
        "mode": f"it was made with --mode {printable(str(before.get('mode')), 20)}",
        "options": "the options are others",
    }
    document = now.to_json()
    changed = [text for key, text in names.items() if before.get(key) != document[key]]
    return "; ".join(changed) or "another version of unclone made it"


def _set_aside(missing: Sequence[str], batch: Batch, ledger: Ledger | None) -> list[str]:
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


def _settle(batch: Batch, replaced: Sequence[str], book: Path | None) -> None:
    """Free the rows of machines that were not made, and of those that others took the place of."""
    unmade = set(batch.unmade())
    given_back = batch.own_rows & unmade
    if book is None or not (given_back or replaced):
        return
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (SQLite comes with it)

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
def _pool(order: Order, folder: Path) -> Iterator[tuple[Pool, Ledger | None]]:
    """Where new values come from: unlike those of the definition, of *folder*, of the ledger."""
    known = [order.definition, *order.avoid] if order.definition else [*order.avoid]
    key = order.request.options.identities.key
    if order.ledger is None:
        beside = sorted(folder.glob(f"*/{RECORD}"))
        yield Pool(avoided=scan([*known, *beside]), key=key), None
        return
    from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (SQLite comes with it)

    with Ledger.open(order.ledger) as opened:
        # Machines beside are in the ledger: their files need not be read.
        yield Pool(avoided=scan(known), ledger=opened, key=key), opened


def _rehearsed(
    order: Order, golden: Golden, source: MadeFrom, listener: BatchListener
) -> list[CompletedRun[Machine]]:
    """What a run would make: decided, and the disks of the first carried out on overlays."""
    paths = {name: order.folder.absolute() / name for name in order.names}
    present = {name: _present(order, source, path) for name, path in paths.items()}
    missing = [name for name, found in present.items() if found is None]
    key = order.request.options.identities.key
    pool = Pool(avoided=scan([*order.avoid]), key=key)
    identities = iter(deciding.decide(order, golden, missing, pool, None, None))
    runs: list[CompletedRun[Machine]] = []
    tried = False
    for name, path in paths.items():
        found = present[name]
        if found is not None:
            runs.append(CompletedRun(os.fspath(path), result=found))
            continue
        identity = next(identities)
        if tried:
            planned = Machine(identity, path, "planned")
            runs.append(CompletedRun(os.fspath(path), result=planned))
            continue
        tried = True
        listener.begin(os.fspath(path))
        work = partial(making.rehearse, order, golden, identity, path)
        runs.append(complete(os.fspath(path), listener, work))
        listener.finish()
    return runs


def remove(folder: Path, names: Sequence[str], ledger: Path | None) -> list[Path]:
    """Remove the machines *names* from *folder*, with all their files; from the ledger, if given.

    Raises UsageError, before any is removed, for one that is not there.
    """
    import shutil  # noqa: PLC0415 (only needed here)

    for name in names:
        require_name(name)
    paths = [folder / name for name in names]
    for path in paths:
        if read_record(path) is None:
            raise UsageError(f"there is no machine {shown(path)}", hint="See -o, and --remove.")
    for path in paths:
        hidden = path.with_name(f".{path.name}.{os.getpid()}.old")
        path.rename(hidden)  # absent at once, whatever happens while its files go
        shutil.rmtree(hidden)
    if ledger is not None:
        from unclone.sanitize.identities.ledger import Ledger  # noqa: PLC0415 (SQLite comes with it)

        with Ledger.open(ledger) as opened:
            for name in names:
                if opened.machine(name) is not None:
                    opened.release(name)
    return paths
