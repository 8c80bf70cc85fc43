"""The mounts of a guest: its root file system and those that its fstab adds.

:func:`unclone.images.layout_inspection.inspect_layout` determines it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.volumes import FileSystem, Volumes


@dataclass(frozen=True, slots=True)
class Mount:
    """One file system of the guest and its mount point."""

    device: str
    mount_point: str
    type: str
    subvolume: str = ""


class OtherSystem(NamedTuple):
    """A subvolume that is not mounted, and the paths in it of files that identify the original.

    ``files`` is empty for one that was not searched.
    """

    device: str
    subvolume: str
    files: tuple[str, ...]


class Snapshot(NamedTuple):
    """A snapshot of a mounted subvolume. ``stays`` says why it cannot be deleted, or is ""."""

    device: str
    subvolume: str
    uuid: str
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The mounts of a guest, root first, and warnings about what could not be mounted."""

    mounts_in_order: tuple[Mount, ...]
    warnings: tuple[str, ...] = ()
    #: Where fstab has no /var: the partitions that systemd mounts there when the GUID of one is
    #: made from the machine-id.
    var_partitions: tuple[FileSystem, ...] = ()
    #: The mount points of file systems with dm-verity hashes: after any change they do not mount.
    hashed: frozenset[str] = frozenset()
    #: On btrfs: snapshots and other subvolumes that are not mounted, and identify the original.
    other_systems: tuple[OtherSystem, ...] = ()
    #: Snapshots of mounted subvolumes, with or without an identity.
    snapshots: tuple[Snapshot, ...] = ()
    #: On btrfs: the path of the default subvolume by device; "" for the top.
    default_subvolumes: Mapping[str, str] = field(default_factory=dict)
    #: Snapshots on LVM and their origins, as device names. They are not searched.
    volume_snapshots: tuple[tuple[str, str], ...] = ()
    #: Devices with what a boot loader reads, or that cannot be looked into, that are not mounted.
    unmounted_boots: tuple[str, ...] = ()
    mounts: Mapping[str, Mount] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mounts", {m.mount_point: m for m in self.mounts_in_order})

    def subvolume_at(self, place: str) -> tuple[str, str] | None:
        """The btrfs device that *place* is on, and the path from its top; None on another type."""
        inside = [m for m in self.mounts_in_order if f"{place}/".startswith(_folder(m.mount_point))]
        mount = max(inside, key=lambda m: len(m.mount_point))
        if mount.type != "btrfs":
            return None
        top = mount.subvolume or self.default_subvolumes.get(mount.device, "")
        below = f"{place}/".removeprefix(_folder(mount.mount_point))
        return mount.device, f"{top.strip('/')}/{below}".strip("/")

    @property
    def checkable(self) -> Sequence[str]:
        """The devices of the mounts, each once."""
        return tuple(dict.fromkeys(m.device for m in self.mounts_in_order))

    def mount(self, volumes: Volumes, *, read_only: bool) -> None:
        """Mount everything.

        A mount point that does not exist is made, as systemd does at boot; with *read_only* that
        mount is left out. Raises RefusedError when a mount point is not a directory, or is behind a
        symlink.
        """
        for mount in self.mounts_in_order:
            if not _has_directory(volumes, mount, make=not read_only):
                continue
            volumes.mount(
                mount.device,
                mount.mount_point,
                subvolume=mount.subvolume,
                read_only=read_only or mount.mount_point in self.hashed,
            )


def _folder(path: str) -> str:
    return f"{path.rstrip('/')}/"


def _has_directory(volumes: Volumes, mount: Mount, *, make: bool) -> bool:
    """Whether the mount point exists, or was made.

    Every component must be a directory itself: a symlink could lead out of the guest's tree.
    """
    path = ""
    for name in mount.mount_point.split("/")[1:]:
        path = f"{path}/{name}"
        try:
            kind = volumes.lstat(path).kind if name else Kind.DIRECTORY
        except FileNotFoundError:
            if not make:
                return False
            volumes.make_directory(path, mode=0o755, uid=0, gid=0)
            kind = Kind.DIRECTORY
        except OSError as error:
            raise RefusedError(
                f"{mount.device} cannot be mounted at {printable(path)}: {error.strerror}",
                hint="The guest's fstab names it; correct it in the guest.",
            ) from error
        if kind is not Kind.DIRECTORY:
            raise RefusedError(
                f"{mount.device} cannot be mounted at {printable(mount.mount_point)}: "
                f"{printable(path)} is a {kind}, not a directory",
                hint="The guest's fstab names it; correct it in the guest.",
            )
    return True
