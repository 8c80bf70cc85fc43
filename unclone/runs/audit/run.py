"""The run of ``unclone audit``: each machine is read once, and what several have is told."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ExitStatus, UsageError
from unclone.images.files import scratch_folder
from unclone.runs import failures
from unclone.runs.audit import cache
from unclone.runs.audit.index import Index, Shared
from unclone.runs.audit.reading import Contents, read_disks, read_files
from unclone.runs.audit.sources import find_machines
from unclone.runs.listener import PhaseTimer
from unclone.runs.worker_pool import Task, default_jobs, run_all
from unclone.sanitize.audit.values import Found
from unclone.sanitize.catalogue import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from unclone.runs.audit.sources import Machine
    from unclone.runs.completed import CompletedRun
    from unclone.runs.listener import BatchListener, Listener
    from unclone.runs.request import Request

_HINT = "Give two images, definitions or seeds, or a folder that holds several machines."


@dataclass(frozen=True)
class Order:
    """What to compare. ``request`` says how images are opened; ``cache`` is None for none."""

    sources: tuple[Path, ...]
    request: Request
    jobs: int | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class Failure:
    """A part of a machine that could not be read."""

    image: str
    error: dict[str, Any]

    @property
    def status(self) -> ExitStatus:
        """Its part of the exit status."""
        return ExitStatus(self.error["error"]["exit_status"])


@dataclass(frozen=True)
class Read:
    """What a worker says of a machine; its values are in a file."""

    notes: tuple[str, ...]
    errors: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """For the worker pool; never printed."""
        return {"notes": list(self.notes)}


@dataclass(frozen=True)
class AuditedMachine:
    """A machine, its files, and what of it was not compared."""

    name: str
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What several of ``machines`` have."""

    machines: tuple[AuditedMachine, ...]
    #: Identities; what is shared by design; what looks like an identity and is in no rule.
    shared: tuple[Shared, ...]
    harmless: tuple[Shared, ...]
    unknown: tuple[Shared, ...]
    failures: tuple[Failure, ...]
    #: Files in folders that are nothing of a machine.
    ignored: int

    def status(self, *, strict: bool = False) -> ExitStatus:
        """Residue when something is shared, with *strict* also what no rule knows."""
        found = self.shared or (strict and self.unknown)
        own = ExitStatus.RESIDUE if found else ExitStatus.DONE
        return failures.worst([own, *(each.status for each in self.failures)])

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        names = [machine.name for machine in self.machines]
        return {
            "status": "shared" if self.shared else "distinct",
            "machines": [
                {"name": m.name, "files": list(m.files), "notes": list(m.notes)}
                for m in self.machines
            ],
            "shared": [each.to_json(names) for each in self.shared],
            "harmless": [{**each.to_json(names), "why": each.harmless} for each in self.harmless],
            "unknown": [{**each.to_json(names), "score": each.score} for each in self.unknown],
            "ignored_files": self.ignored,
        }


def audit(
    order: Order,
    listener: BatchListener,
    *,
    on_error: Callable[[BaseException], None] = lambda _: None,
) -> Audit:
    """Compare the machines in ``order.sources``; nothing is written to them or beside them.

    What cannot be read of one is among the failures and stops no other. Raises UsageError when
    there are fewer than two machines, and what interrupted the run.
    """
    sources = find_machines(order.sources)
    machines = sources.machines
    if len(machines) < 2:
        found = (
            f"only one machine was found: {machines[0].name}"
            if machines
            else "no machine was found"
        )
        raise UsageError(f"there is nothing to compare: {found}", hint=_HINT)
    load(order.request.options.catalogues)  # here once, and not in every worker
    names = _labels([machine.name for machine in machines])
    with scratch_folder("unclone-audit-") as spool:
        works = (partial(_read, m, order, spool / str(n)) for n, m in enumerate(machines))
        tasks = [Task(name, work) for name, work in zip(names, works, strict=True)]
        jobs = min(order.jobs or default_jobs(), len(tasks))
        runs = run_all(tasks, listener, jobs=jobs, on_error=on_error)
        for run in runs:
            if run.interrupted and run.error is not None:
                raise run.error
        audited = _compared(spool, machines, names, runs)
    if order.cache is not None:
        cache.prune(order.cache)
    return replace(audited, ignored=sources.ignored)


def _compared(
    spool: Path,
    machines: Sequence[Machine],
    names: Sequence[str],
    runs: Iterable[CompletedRun[Read]],
) -> Audit:
    index = Index()
    failed: list[Failure] = []
    audited: list[AuditedMachine] = []
    try:
        for number, (machine, run) in enumerate(zip(machines, runs, strict=True)):
            if run.error is not None:
                failed.append(Failure(run.image, failures.to_json(run.image, run.error)))
            errors = run.result.errors if run.result else ()
            failed += [Failure(each["image"], each) for each in errors]
            file = spool / str(number)
            if file.exists():
                index.add(number, (Found(*each) for each in json.loads(file.read_bytes())))
                file.unlink()
            notes = run.result.notes if run.result else ()
            audited.append(AuditedMachine(names[number], tuple(map(str, machine.files)), notes))
        found = list(index.shared())
    finally:
        index.close()
    return Audit(
        machines=tuple(audited),
        shared=tuple(each for each in found if not each.harmless and not each.score),
        harmless=tuple(each for each in found if each.harmless),
        unknown=tuple(each for each in found if each.score and not each.harmless),
        failures=tuple(failed),
        ignored=0,
    )


def _read(machine: Machine, order: Order, spool: Path, listener: Listener) -> Read:
    """Read *machine*, and leave its values in the file *spool*."""
    found = read_files(machine)
    named = any(value.kind == "host-name" for value in found.values)
    if machine.disks:
        on_disks = _disks(machine, order, listener)
        if named:
            why = "the seed gives the machine another"
            on_disks.values = [
                value._replace(harmless=why) if value.kind == "host-name" else value
                for value in on_disks.values
            ]
        found.values += on_disks.values
        found.notes += on_disks.notes
        found.errors += on_disks.errors
    spool.write_text(json.dumps([tuple(each) for each in found.values]), encoding="ascii")
    errors = (failures.to_json(image, error) for image, error in found.errors)
    return Read(tuple(found.notes), tuple(errors))


def _disks(machine: Machine, order: Order, listener: Listener) -> Contents:
    first, *others = machine.disks
    allow = (*order.request.allow, *machine.allow, *(path.parent for path in machine.disks))
    request = replace(order.request, image=first, add_disks=tuple(others), allow=allow)
    return read_disks(request, PhaseTimer(listener), order.cache)


def _labels(names: Sequence[str]) -> list[str]:
    """*names* without the folder that all are in."""
    paths = [Path(name).absolute() for name in names]
    folder = os.path.commonpath([path.parent for path in paths])
    return [os.path.relpath(path, folder) for path in paths]
