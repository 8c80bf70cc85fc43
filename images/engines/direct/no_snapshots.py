"""The methods about snapshots and subvolumes, of which there are those of a btrfs at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.engines.direct.in_place.tree import Tree
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.engines.direct.driver import Driver
    from unclone.images.volumes import Subvolume


class NoSnapshots:
    """Methods of ``Volumes`` that return no snapshots."""

    #: By mount point: device, subvolume, and the file system.
    _mounts: dict[str, tuple[str, str, Driver]]

    def volume_snapshots(self) -> Mapping[str, str]:
        """Empty: snapshots of LVM are not supported."""
        return {}

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        """As :meth:`unclone.images.volumes.Volumes.subvolumes`."""
        driver = self._mounts[mount_point][2]
        return driver.subvolumes() if isinstance(driver, Tree) else ((), "")

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """There is nothing to delete. Raises EngineError for any of *paths*."""
        if paths:
            raise EngineError(f"subvolumes are not deleted without a kernel: {', '.join(paths)}")

    def _shared(self, device: str, subvolume: str) -> Driver | None:
        """That of a mount of the same; one at rest has all its subvolumes from one cache."""
        for of, inside, driver in self._mounts.values():
            if of == device and isinstance(driver, Tree):
                return driver.beside(subvolume)
            if (of, inside) == (device, subvolume):
                return driver
        return None
