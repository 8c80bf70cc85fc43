"""Delete a snapshot on btrfs. Details: ``device``, ``subvolume`` (its path) and ``uuid``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images import subvolumes
from unclone.images.text import printable
from unclone.sanitize.change import DELETE_SUBVOLUME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change


#: The step that plans it.
STEP = "snapshot-identities"


class DeleteSubvolume:
    """Afterwards the file system has no subvolume with its UUID."""

    def apply(self, guest: Guest, change: Change) -> str:
        """The guest is unmounted for it; applying deletes all of a plan together."""
        for device, paths in deletions([change]).items():
            subvolumes.delete(guest, device, paths)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002 (protocol)
        """Listed from what the guest mounts of it: paths depend on that, and UUIDs do not."""
        left = {each.uuid for each in guest.subvolumes(change.details["device"])}
        there = change.details["uuid"] in left
        return f"the snapshot {printable(change.target)} is still there" if there else ""


def deletions(changes: Iterable[Change]) -> Mapping[str, Sequence[str]]:
    """The subvolumes that *changes* delete, by their devices."""
    found: dict[str, list[str]] = {}
    for change in changes:
        if change.action == DELETE_SUBVOLUME:
            found.setdefault(change.details["device"], []).append(change.details["subvolume"])
    return found
