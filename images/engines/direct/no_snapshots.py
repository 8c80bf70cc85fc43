"""What an engine says of snapshots that reaches neither btrfs nor LVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.volumes import Subvolume


class NoSnapshots:
    """There are none within reach."""

    def volume_snapshots(self) -> Mapping[str, str]:
        """None, for there is no LVM."""
        return {}

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:  # noqa: ARG002
        """None, for there is no btrfs."""
        return (), ""

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Nothing to do."""
