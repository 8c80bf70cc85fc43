"""The snapshot methods of an engine without btrfs and LVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.volumes import Subvolume


class NoSnapshots:
    """Methods of ``Volumes`` that return no snapshots."""

    def volume_snapshots(self) -> Mapping[str, str]:
        """Empty: LVM is not supported."""
        return {}

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:  # noqa: ARG002
        """Empty: btrfs is not supported."""
        return (), ""

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Nothing to do."""
