"""A machine-id in a credential of systemd, ``system.machine_id``: a file, wherever it may be.

It fills an ``/etc/machine-id`` that is empty, ``uninitialized`` or missing, so emptying the file
brings the old id back. On boot partitions and in ``credstore.encrypted`` it is encrypted: what it
says is not known, and a copy could decrypt it only with the original's key.

References: systemd.system-credentials(7); systemd src/shared/machine-id-setup.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize import machine_ids
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from unclone.sanitize.step import PlanningContext


class CredentialMachineId:
    """Removes the credential from every store and boot partition."""

    info = StepInfo(
        id=machine_ids.CREDENTIAL_STEP,
        title="machine-id in a credential of systemd",
        why="it fills an empty or missing /etc/machine-id: each clone gets the old id back",
        sources=("systemd.system-credentials(7)", "machine-id(5)"),
        kind=StepKind.REMOVE,
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each file."""
        if machine_ids.STEP in context.options.disable:
            return StepPlan()
        return StepPlan(
            tuple(
                Change(
                    self.info.id,
                    "remove",
                    one.path,
                    self.info.why,
                    "encrypted" if one.encrypted else machine_ids.credential_id(one),
                )
                for one in machine_ids.credential_files(context.facts)
            )
        )
