"""Read everything back: an exit status is never taken as proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import EngineError, ResidueError
from unclone.images.text import printable
from unclone.images.volumes import CheckState, IdentifierKind
from unclone.sanitize import left_behind, var_partition
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.facts import Facts
from unclone.sanitize.hostname.verifying import wrong_names
from unclone.sanitize.report import Verification
from unclone.sanitize.residue import REMOVED_FILE, find_residue
from unclone.sanitize.search_places import select

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Plan
    from unclone.sanitize.report import Outcome
    from unclone.sanitize.residue import Residue


def verify(
    guest: Guest, plan: Plan, outcomes: Sequence[Outcome], *, strict: bool = False
) -> Verification:
    """Reopen the guest from its disks, check its file systems, and re-read every change.

    Raises :class:`EngineError` when a file system is damaged, :class:`ResidueError` when a
    change cannot be read back or an old identifier is left where the next boot reads it (with
    *strict*: anywhere).
    """
    checking = guest.reopen()
    # First the scan for all identifiers: initrds are unpacked once, for this and what follows.
    places = select(guest) if plan.retired else None
    noted = (left for outcome in outcomes for left in outcome.left_behind)
    residue = (*find_residue(guest, plan.retired, places), *left_behind.find(guest, noted))
    problems = [problem for outcome in outcomes if (problem := _problem(guest, outcome))]
    if lost := var_partition.lost(guest, Facts(guest), plan):
        problems.append(lost)
    problems += wrong_names(guest, plan)
    problems += _old_devices(guest, plan)
    checks = tuple(checking())
    for check in checks:
        if check.state is CheckState.DAMAGED:
            raise EngineError(
                f"the file system on {check.device} is damaged: {printable(check.output, 400)}",
                hint="If it was damaged before, repair it from the guest's own rescue mode "
                "(fsck -f), then run again; otherwise please report this.",
            )
    if problems:
        raise ResidueError(
            f"{len(problems)} changes could not be read back: {problems[0]}",
            hint="Please report this: the image is as it was.",
        )
    blocking = [found for found in residue if found.read_at_boot or strict]
    if blocking:
        first = blocking[0]
        removed = first.kind == REMOVED_FILE
        what = f"what {printable(first.value)} held" if removed else f"the old {first.kind}"
        keep = "the file" if removed else f"the old {first.kind}"
        raise ResidueError(
            f"{what} is still in {len(blocking)} places: "
            + ", ".join(_place(found) for found in blocking[:5]),
            hint=f"No step changes it there. Correct it in the guest, or keep {keep} with "
            + _keeping(plan, outcomes, first)
            + ("." if first.read_at_boot else "; without --strict this is a warning."),
        )
    return Verification(checks, residue, places.unsearched if places else ())


def _problem(guest: Guest, outcome: Outcome) -> str:
    change = outcome.change
    try:
        return ACTIONS[change.action].verify(guest, change, outcome.learned)
    except OSError as error:
        return f"{printable(change.target)}: {error.strerror or error}"


def _old_devices(guest: Guest, plan: Plan) -> Iterator[str]:
    """Devices that a boot would still find by what they were called, however that was changed."""
    old = {(c.target, c.old.lower()) for c in plan.changes if c.action == "set-identifier"}
    for fs in guest.file_systems() if old else ():
        for value in (fs.uuid, fs.partition_uuid):
            if (fs.device, value.lower()) in old:
                yield f"{fs.device} is still found by {printable(value, 80)}"


def _keeping(plan: Plan, outcomes: Sequence[Outcome], found: Residue) -> str:
    """The option that leaves the identifier as it is."""
    if found.kind == REMOVED_FILE:
        steps = {left.path: each.change.step for each in outcomes for left in each.left_behind}
        return f"--disable {steps[found.value]}"
    step = next(old.step for old in plan.retired if old.value == found.value)
    on_a_device = found.kind in {kind.value for kind in IdentifierKind}
    return f"--disable {step}" + (" (all of devices: --uuids keep)" if on_a_device else "")


def _place(found: Residue) -> str:
    if not found.path:
        return "a place that was not found"
    return f"{printable(found.path)}:{found.line}" if found.line else printable(found.path)
