"""How a guest mounts itself: its root file system and what its fstab adds.

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
    """One file system of the guest and where it belongs in the guest's tree."""

    device: str
    mount_point: str
    type: str
    subvolume: str = ""


class OtherSystem(NamedTuple):
    """A subvolume that is not mounted, and the files in it that identify the original.

    ``files`` is empty for one that was not looked into.
    """

    device: str
    subvolume: str
    files: tuple[str, ...]


class Snapshot(NamedTuple):
    """A snapshot of a subvolume that the guest mounts. ``stays``: why it cannot be deleted."""

    device: str
    subvolume: str
    uuid: str
    stays: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """The mounts of a guest, root first, and what its fstab names that could not be found."""

    mounts_in_order: tuple[Mount, ...]
    warnings: tuple[str, ...] = ()
    #: Where fstab has no /var: the partitions that systemd mounts there when the GUID of one is
    #: made from the machine-id.
    var_partitions: tuple[FileSystem, ...] = ()
    #: The mount points of file systems that dm-verity hashes: one changed bit, and none mounts.
    hashed: frozenset[str] = frozenset()
    #: On btrfs: snapshots and other subvolumes that are not mounted, and identify the original.
    other_systems: tuple[OtherSystem, ...] = ()
    #: Those that are snapshots of what is mounted, with or without an identity.
    snapshots: tuple[Snapshot, ...] = ()
    #: On btrfs: what a mount without ``subvol=`` shows, by device: a path, "" for the top.
    default_subvolumes: Mapping[str, str] = field(default_factory=dict)
    #: Snapshots on LVM, and what each is one of, as device names. They are not looked into.
    volume_snapshots: tuple[tuple[str, str], ...] = ()
    mounts: Mapping[str, Mount] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mounts", {m.mount_point: m for m in self.mounts_in_order})

    def subvolume_at(self, place: str) -> tuple[str, str] | None:
        """Device and path of the btrfs subvolume, or of what is in one, at the physical *place*."""
        inside = [m for m in self.mounts_in_order if f"{place}/".startswith(_folder(m.mount_point))]
        mount = max(inside, key=lambda m: len(m.mount_point))
        if mount.type != "btrfs":
            return None
        top = mount.subvolume or self.default_subvolumes.get(mount.device, "")
        below = f"{place}/".removeprefix(_folder(mount.mount_point))
        return mount.device, f"{top.strip('/')}/{below}".strip("/")

    @property
    def checkable(self) -> Sequence[str]:
        """The devices behind the mounts, each once."""
        return tuple(dict.fromkeys(m.device for m in self.mounts_in_order))

    def mount(self, volumes: Volumes, *, read_only: bool) -> None:
        """Mount everything where it belongs.

        A mount point that does not exist is made, as systemd does at boot; with *read_only* what
        belongs there is left out. Raises RefusedError when a mount point is not a directory of
        the guest's own tree.
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
    """Whether the mount point is there, or was made.

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
