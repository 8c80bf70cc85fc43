"""Snapshots of the system: each has an fstab and boot configuration of its own, with old values.

They are examined and named, and stay: most are read-only, and a changed one is no snapshot of then.
A guest rolled back to one looks for file systems by identifiers that no longer exist.

References: snapper(8) (``/.snapshots/N/snapshot``); https://github.com/linuxmint/timeshift
(``timeshift-btrfs/snapshots/DATE/@``, ``timeshift/snapshots/DATE/localhost``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.actions.delete_subvolume import STEP
from unclone.sanitize.change import Level, Note, StepPlan
from unclone.sanitize.files import TEXT_LIMIT, files_at
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.renewal import Blocker
    from unclone.sanitize.step import PlanningContext

#: Where the root directory of a snapshot is.
SNAPSHOTS = (
    "/.snapshots/*/snapshot",
    "/timeshift-btrfs/snapshots/*/@",
    "/timeshift/snapshots/*/localhost",
    "/run/timeshift/*/backup/timeshift*/snapshots/*/*",
)

#: What a snapshot's own boot or mounts would read.
_READ = (
    "etc/fstab",
    "etc/crypttab",
    "etc/default/grub",
    "etc/kernel/cmdline",
    "boot/grub/grub.cfg",
    "boot/grub2/grub.cfg",
    "boot/loader/entries/*.conf",
)


class Snapshots:
    """Every snapshot that refers to something renewed."""

    info = StepInfo(
        id="snapshots",
        title="snapshots of the system",
        why="a guest rolled back to one would look for its file systems by old identifiers",
        sources=("snapper(8)", "https://github.com/linuxmint/timeshift"),
        kind=StepKind.KEEP,
    )

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:  # noqa: ARG002
        """None: a snapshot does not keep the system from changing."""
        return ()

    def plan(self, context: PlanningContext) -> StepPlan:
        """One note that names them."""
        guest, rewriter = context.guest, context.renewals.rewriter
        passed_over = _mounted_or_deleted(context)
        stale = [
            snapshot
            for pattern in SNAPSHOTS
            for snapshot in guest.glob(pattern)
            if guest.layout.subvolume_at(guest.resolve(snapshot)) not in passed_over
            if any(
                rewriter.found(guest.read(path, TEXT_LIMIT))
                for path in files_at(guest, (f"{snapshot}/{name}" for name in _READ), TEXT_LIMIT)
            )
        ]
        if not stale:
            return StepPlan()
        named = ", ".join(printable(path, 80) for path in stale[:5])
        more = f" and {len(stale) - 5} more" if len(stale) > 5 else ""
        text = (
            f"{named}{more} keep the old identifiers, and a guest rolled back to one would not "
            "find its file systems. Delete the snapshots in the guest before it is copied; on "
            "btrfs --delete-snapshots does."
        )
        return StepPlan(notes=(Note(self.info.id, Level.KEPT, text),))


def _mounted_or_deleted(context: PlanningContext) -> set[tuple[str, str] | None]:
    """The subvolumes that are the guest itself (openSUSE runs in one), and those that go."""
    layout = context.guest.layout
    deletes = STEP in context.options.enable
    gone = {(s.device, s.subvolume) for s in layout.snapshots if deletes and not s.stays}
    mounted = {layout.subvolume_at(m.mount_point) for m in layout.mounts_in_order}
    return (gone | mounted) - {None}


REFERENCE = Snapshots()
