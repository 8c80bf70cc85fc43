"""Snapshots on btrfs: each has the machine-id and the host keys that the original had.

They are deleted on request only: a snapshot may be all that is left of an earlier state. Without
the request the report names what identifies the original in each (``clone_readiness``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.actions.delete_subvolume import STEP
from unclone.sanitize.change import DELETE_SUBVOLUME, Change, Level, Note, StepPlan
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from unclone.sanitize.step import PlanningContext


class SnapshotIdentities:
    """Deletes every snapshot of what the guest mounts."""

    info = StepInfo(
        id=STEP,
        title="btrfs snapshots",
        why="each keeps the original's machine-id and private host keys",
        sources=("btrfs-subvolume(8)", "snapper(8)", "https://github.com/linuxmint/timeshift"),
        off_because="a snapshot may be all that is left of an earlier state",
        kind=StepKind.KEEP,
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each, and a note for each that cannot be deleted."""
        changes, notes = [], []
        for each in context.guest.layout.snapshots:
            target = f"{each.device}:{each.subvolume}"
            if each.stays:
                text = f"the snapshot {printable(target, 120)} stays: {each.stays}"
                notes.append(Note(STEP, Level.WARNING, text))
                continue
            details = {"device": each.device, "subvolume": each.subvolume, "uuid": each.uuid}
            changes.append(
                Change(STEP, DELETE_SUBVOLUME, target, self.info.why, "snapshot", details=details)
            )
        return StepPlan(tuple(changes), tuple(notes))
