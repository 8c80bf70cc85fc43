"""How a guest mounts itself: which file system is its root, and what its fstab adds.

Light inspection, on purpose: every file system is mounted once and looked at, and the root's own
fstab says the rest. libguestfs' ``inspect_os`` answers more and costs as much time as everything
else together where there is no KVM.

References: fstab(5), mount(8), systemd.mount(5), udev's ``60-persistent-storage.rules``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from images.volumes import Volumes


@dataclass(frozen=True, slots=True)
class Mount:
    """One file system of the guest and where it belongs in the guest's tree."""

    device: str
    mount_point: str
    type: str
    subvolume: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The mounts of a guest, root first, and what its fstab names that could not be found."""

    mounts_in_order: tuple[Mount, ...]
    warnings: tuple[str, ...] = ()
    mounts: Mapping[str, Mount] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mounts", {m.mount_point: m for m in self.mounts_in_order})

    @property
    def checkable(self) -> Sequence[str]:
        """The devices behind the mounts, each once."""
        return tuple(dict.fromkeys(m.device for m in self.mounts_in_order))

    def mount(self, volumes: Volumes, *, read_only: bool) -> None:
        """Mount everything where it belongs."""
        for mount in self.mounts_in_order:
            volumes.mount(
                mount.device,
                mount.mount_point,
                subvolume=mount.subvolume,
                read_only=read_only,
            )
