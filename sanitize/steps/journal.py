"""Journal folders of the old machine-id: ``/var/log/journal/<id>`` and ``<id>.<namespace>``.

journald never adopts another id's folder, so they would only stay behind, with the old id in
their names and in every file. (All journals go with the catalogue's rows for golden images.)

References: systemd-journald.service(8); journald.conf(5); systemd.exec(5) ``LogNamespace=``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize import machine_ids
from unclone.sanitize.change import Change, StepPlan
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from unclone.sanitize.step import PlanningContext

FOLDER = "/var/log/journal"


class Journal:
    """Removes the folders that carry a retired id, and no others."""

    info = StepInfo(
        id="journal-folders",
        title="journal folders of the old machine-id",
        why="the journal keeps one folder per machine-id, and never uses the old one again",
        sources=("systemd-journald.service(8)", "machine-id(5)"),
        kind=StepKind.REMOVE,
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One removal per folder."""
        guest = context.guest
        ids = machine_ids.retiring(context)
        return StepPlan(
            tuple(
                Change(self.info.id, "remove", f"{FOLDER}/{name}", self.info.why, old=old)
                for name in guest.list(FOLDER)
                for old in ids
                if name == old or name.startswith(f"{old}.")
            )
        )
