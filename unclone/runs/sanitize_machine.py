"""The run of ``unclone sanitize --definition``: a machine's disks and its definition, or neither.

The new definition is written first and taken back when the image cannot be changed: once the image
is committed, nothing is left that could fail.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import UsageError
from unclone.images.text import shown
from unclone.runs import define as defining
from unclone.runs.sanitize import sanitize
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.rule import Treatment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unclone.runs.define import Defined
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.sanitize.definitions.definition import Definition, Disk, PlannedField
    from unclone.sanitize.identities.ledger.place import Place
    from unclone.sanitize.report import Report


@dataclass(frozen=True)
class MachineReport:
    """What was done to a machine: to its disks, and to its definition."""

    report: Report
    defined: Defined

    def to_json(self) -> dict[str, Any]:
        """The report of the disks, with that of the definition in ``definition``."""
        return {**self.report.to_json(), "definition": self.defined.to_json()}


def disks_of(definition: Definition) -> tuple[Path, ...]:
    """The files of the disks that are the machine's own, in the definition's order.

    Raises UsageError when there are none.
    """
    folder = definition.source.path.parent
    found = tuple(folder / disk.path for disk in own_disks(definition))
    if not found:
        raise UsageError(
            f"{definition.source.shown} names no disk that is a file",
            hint="Give the machine's disk image as IMAGE.",
        )
    return found


def sanitize_machine(
    request: Request,
    wanted: defining.Request,
    definition: Definition,
    listener: Listener,
    *,
    avoid: Sequence[Path] = (),
    ledger: Place | None = None,
) -> MachineReport:
    """Make the machine's disks and definition those of another machine, or neither.

    The MAC addresses that the definition gets, the guest's own configuration gets, too; names of
    disks that are made of a serial number follow the definition's. Raises
    UsageError when the disks are not as many as the definition has, and what ``sanitize`` and
    ``defining.define`` raise.
    """
    wanted = replace(wanted, disks=_moves(request, wanted, definition), dry_run=request.dry_run)
    key = request.options.identities.key
    with (
        defining.pool(wanted, avoid=avoid, ledger=ledger, key=key) as pool,
        defining.written(wanted, definition, pool) as defined,
    ):
        options = replace(
            request.options,
            macs=defined.identities.macs,
            disk_serials=disk_serials(defined.changes),
        )
        report = sanitize(replace(request, options=options), listener)
    return MachineReport(report, replace(defined, notes=(*defined.notes, *_naming(report, wanted))))


def _naming(report: Report, wanted: defining.Request) -> list[Note]:
    """How the guest gets the name, too, where it has another."""
    if report.host_name or report.guest.hostname.partition(".")[0] in {"", wanted.name}:
        return []
    text = (
        f"the host name in the guest is still {report.guest.hostname}: --hostname {wanted.name} "
        "changes it, or a seed for cloud-init"
    )
    return [Note("hostname", Level.INFO, text)]


def own_disks(definition: Definition) -> list[Disk]:
    """The disks that are the machine's own: files that it writes to, and that stay in it."""
    return [
        disk for disk in definition.disks if disk.path and not disk.removable and not disk.read_only
    ]


def matched(definition: Definition, given: Sequence[Path]) -> list[Disk]:
    """The disk of *definition* that each of *given* is; there are as many.

    By its path; what is at no path of the definition is taken in the definition's order.
    """
    own = own_disks(definition)
    folder = definition.source.path.parent
    places = {(folder / disk.path).resolve(): disk for disk in own}
    found = [places.get(path.resolve()) for path in given]
    named = [disk for disk in found if disk is not None]
    if len(places) != len(own) or len({id(disk) for disk in named}) != len(named):
        return own
    others = iter([disk for disk in own if all(disk is not each for each in named)])
    return [disk or next(others) for disk in found]


def disk_serials(fields: Iterable[PlannedField]) -> dict[str, str]:
    """Serial numbers and World Wide Names of disks that change, old to new."""
    return {
        planned.field.value: planned.new
        for planned in fields
        if planned.changed and planned.new and planned.field.rule.id in {"disk-serial", "disk-wwn"}
    }


def _moves(request: Request, wanted: defining.Request, definition: Definition) -> dict[str, str]:
    """Where each disk of the definition is on the new machine."""
    own = own_disks(definition)
    given = (request.image, *request.add_disks)
    if len(own) != len(given):
        raise UsageError(
            f"{definition.source.shown} has {len(own)} disks, and {len(given)} are given",
            hint=f"Give them in this order: {', '.join(shown(Path(d.path)) for d in own) or '-'}; "
            "the first as IMAGE, each other with --add-disk.",
        )
    results = request.outputs or given
    own = matched(definition, given)
    folder = definition.source.path.parent
    moves = dict(wanted.disks)
    moving = {f.value for f in definition.fields if f.rule.treatment is Treatment.MOVE}
    for disk, result in zip(own, results, strict=True):
        if (folder / disk.path).absolute() != result.absolute():
            moves.setdefault(disk.path, str(result.absolute()))
        elif disk.path in moving:
            moves.setdefault(disk.path, disk.path)  # changed in place: no longer the source's
    return moves
