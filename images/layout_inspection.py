"""Determining the layout of a guest: find the root, read its fstab, find what that names.

Every file system that can hold a root is mounted and searched once; the fstab and the mount units
of the root name the others. libguestfs' ``inspect_os`` finds out more, but without KVM it takes as
long as everything else together.

References: fstab(5), mount(8), systemd.mount(5), systemd-fstab-generator(8); for partitions that
fstab does not name, :mod:`unclone.images.discoverable`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.images.device_names import DeviceNames
from unclone.images.discoverable import ESP
from unclone.images.errors import RefusedError
from unclone.images.file_systems.table import WITHOUT_FILES
from unclone.images.layout import Layout, Mount
from unclone.images.roots import LINUX, closed_groups, find_root, group_hint
from unclone.images.subvolumes import find_others, path_of
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.discoverable import Discovered
    from unclone.images.fstab import Entry
    from unclone.images.roots import Root
    from unclone.images.volumes import FileSystem, Volumes

#: Types of fstab entries that are not on a disk of the guest, or hold nothing that is changed.
_ELSEWHERE = re.compile(
    r"swap|none|ignore|proc|sysfs|tmpfs|ramfs|devpts|devtmpfs|cgroup2?|securityfs|debugfs|tracefs"
    r"|configfs|fusectl|mqueue|hugetlbfs|efivarfs|binfmt_misc|bpf|pstore|autofs|overlay|usbfs"
    r"|nfs4?|cifs|smb3|smbfs|ceph|glusterfs|lustre|afs|davfs|9p|virtiofs|vboxsf|fuse(\..+)?"
    r"|iso9660|udf|udf,iso9660|squashfs"
)

#: Mount points with files that identify a machine: they must not be missed.
_NEEDED = re.compile(r"/(usr|var|etc|boot|efi|home|root|opt|srv)(/.*)?")

#: Warnings about lines of fstab without a device; further lines are counted.
_NAMED = 20

_HINT_DISK = "Add the disk it is on with --add-disk; or, if it is gone for good, mark it nofail."


def inspect_layout(volumes: Volumes, *, incomplete: bool = False) -> Layout:
    """Determine the layout of the guest on *volumes*. Leaves nothing mounted.

    Raises RefusedError when there is not exactly one Linux guest, or when a file system that its
    fstab needs is missing; with *incomplete* that is left out, with a warning.
    """
    file_systems = volumes.file_systems()
    root = find_root(volumes, file_systems)
    return _Inspection(volumes, root, file_systems, incomplete).layout()


@dataclass
class _Inspection:
    volumes: Volumes
    root: Root
    file_systems: Sequence[FileSystem]
    incomplete: bool = False
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    mounts: dict[str, Mount] = field(default_factory=dict)
    discovered: list[Discovered] = field(default_factory=list)

    def layout(self) -> Layout:
        names = DeviceNames(self.file_systems, self.root.crypttab)
        for entry in self.root.entries:
            if entry.mount_point == "/" or _is_elsewhere(entry):
                continue
            place = self._place(entry)
            found = self._choose(entry, names.find(entry.spec)) if place else None
            found = self._unless_without_files(entry, found)
            found = self._unless_hiding(entry, found)
            subvolume = self._subvolume(entry, found) if place and found else None
            if place and found and subvolume is not None:
                self.mounts[place] = Mount(found.device, place, found.type, subvolume)
        self.warnings += self.left_out[:_NAMED]
        if more := len(self.left_out[_NAMED:]):
            self.warnings.append(f"{more} more lines of the guest's fstab are left out")
        self._mount_discovered()
        self._mount_unlisted_boot()
        self._mount_unlisted_esp()
        in_order = sorted(self.mounts.values(), key=lambda m: m.mount_point.split("/"))
        self._mention_unmounted()
        self._mention_missing()
        var = (found.partition for found in self.discovered if found.may_be_var)
        hashed = frozenset({"/usr"} & {f.place for f in self.discovered} if self._hashes() else ())
        mounts = (self.root.mount, *in_order)
        others = find_others(self.volumes, mounts)
        volumes = tuple(sorted(self.volumes.volume_snapshots().items()))
        boots = tuple(fs.device for fs in self._unlisted_boots())
        return Layout(mounts, tuple(self.warnings), tuple(var), hashed, *others, volumes, boots)

    def _unless_without_files(self, entry: Entry, found: FileSystem | None) -> FileSystem | None:
        """*found*; None where nothing can be mounted. Raises RefusedError if that matters."""
        if found is None or found.type not in WITHOUT_FILES:
            return found
        self._missing(entry, f"{found.device} holds no files ({printable(found.type)})")
        return None

    def _unless_hiding(self, entry: Entry, found: FileSystem | None) -> FileSystem | None:
        """*found*; None where it is not mounted at boot. Raises RefusedError if that matters."""
        if found is None or entry.unit not in self.root.hiding:
            return found
        if _NEEDED.fullmatch(entry.mount_point):
            raise RefusedError(
                f"{_source(entry)} mounts {printable(entry.spec)} over what is in "
                f"{printable(entry.mount_point)}, and no other unit wants it: which of the two the "
                "guest uses is not known",
                hint=f"Enable the unit in the guest, or delete it, or what is in "
                f"{printable(entry.mount_point)}.",
            )
        self._missing(entry, "no other unit wants it, and the place is not empty")
        return None

    def _subvolume(self, entry: Entry, found: FileSystem) -> str | None:
        """The subvolume of *found* to mount; None when it is missing and not needed."""
        if entry.subvolume or not entry.subvolume_number or found.type != "btrfs":
            return entry.subvolume
        path = path_of(self.volumes, found.device, entry.subvolume_number)
        if path is None:
            self._missing(entry, f"no subvolume has the number {entry.subvolume_number}")
        return path

    def _hashes(self) -> bool:
        return any(fs.type == "DM_verity_hash" for fs in self.file_systems)

    def _place(self, entry: Entry) -> str:
        """The physical path of the mount point; "" when it is unusable and not needed."""
        place = self.root.places[entry.mount_point]
        if isinstance(place, OSError):
            self._missing(entry, f"that is no place to mount anything ({place.strerror or place})")
            return ""
        if place == "/":
            self._missing(entry, "that is the root directory itself")
            return ""
        return place

    def _choose(self, entry: Entry, candidates: Sequence[FileSystem]) -> FileSystem | None:
        if not candidates:
            self._missing(entry, "no disk has it")
            return None
        if len(candidates) == 1:
            return candidates[0]
        disk = _disk(self.root.mount.device)
        chosen = next((fs for fs in candidates if _disk(fs.device) == disk), candidates[0])
        devices = ", ".join(fs.device for fs in candidates)
        self.warnings.append(
            f"{printable(entry.spec)} in {_source(entry)} means {devices}, all of them; "
            f"took {chosen.device}"
        )
        return chosen

    def _missing(self, entry: Entry, why: str) -> None:
        named = (
            f"{_source(entry)} mounts {printable(entry.spec)} at "
            f"{printable(entry.mount_point)}: {why}"
        )
        needed = _NEEDED.fullmatch(entry.mount_point) and not entry.optional
        if needed and not self.incomplete:
            closed = closed_groups(self.volumes)
            raise RefusedError(
                "; ".join([named, *closed.values()]),
                hint=group_hint(closed) if closed else _HINT_DISK,
            )
        self.left_out.append(f"{named}; left out")

    def _mount_discovered(self) -> None:
        """Add what the guest mounts by the types of its partitions."""
        listed = [place for place in self.root.places.values() if isinstance(place, str)]
        device = self.root.mount.device
        found = self.root.discovery.partitions(self.file_systems, device, listed)
        self.discovered = list(found)
        for _, fs, place, why_not in self.discovered:
            if not why_not and fs.type in {*LINUX, "vfat"}:
                self.mounts[place] = Mount(fs.device, place, fs.type)

    def _unlisted_boots(self) -> Sequence[FileSystem]:
        """The file systems with what a boot loader reads, or unreadable ones, not mounted so far.

        A loader needs no fstab: it finds them by a UUID or a number that it was installed with.
        """
        mounted = {self.root.mount.device, *(mount.device for mount in self.mounts.values())}
        others = (self.root.boots | self.root.unreadable) - mounted
        return [fs for fs in self.file_systems if fs.device in others]

    def _mount_unlisted_boot(self) -> None:
        """Add the one such file system as ``/boot``, where the guest has nothing of its own."""
        unlisted = [fs for fs in self._unlisted_boots() if fs.device in self.root.boots]
        free = "/boot" in self.root.discovery.free and "/boot" not in self.mounts
        if len(unlisted) != 1 or not free:
            return
        (fs,) = unlisted
        self.mounts["/boot"] = Mount(fs.device, "/boot", fs.type)
        self.warnings.append(
            f"the {fs.type} file system on {fs.device} is in no fstab entry and holds what a boot "
            "loader reads; looked at as /boot"
        )

    def _mount_unlisted_esp(self) -> None:
        """Add a FAT file system that fstab does not name where systemd would mount it.

        Boot loaders read their configuration there, whether or not the guest mounts it.
        """
        mounted = {mount.device for mount in self.mounts.values()}
        unlisted = [
            fs for fs in self.file_systems if fs.type == "vfat" and fs.device not in mounted
        ]
        for fs, place in zip(unlisted, self._free_boot_places(), strict=False):
            self.mounts[place] = Mount(fs.device, place, fs.type)
            self.warnings.append(
                f"the vfat file system on {fs.device} is in no fstab entry; taken for the EFI "
                f"system partition and looked at as {place}"
            )

    def _free_boot_places(self) -> Sequence[str]:
        taken = self.mounts.keys()
        return [
            place
            for place in self._boot_places()
            if place not in taken and not any(place.startswith(f"{other}/") for other in taken)
        ][:1]

    def _boot_places(self) -> Sequence[str]:
        typed = any(fs.partition_type == ESP for fs in self.file_systems)
        made = ["/efi"] if typed and "/efi" in self.root.discovery.free else []
        return [*self.root.empty_boot_places, *made]

    def _mention_missing(self) -> None:
        for place, mount in self.mounts.items():
            below = any(place.startswith(f"{other}/") for other in self.mounts)
            if place in self.root.missing and not below:  # else it is seen when that is mounted
                self.warnings.append(
                    f"the mount point {printable(place)} of {mount.device} does not exist: a run "
                    "makes it, as the guest does at boot"
                )

    def _mention_unmounted(self) -> None:
        mounted = {self.root.mount.device, *(mount.device for mount in self.mounts.values())}
        why_not = {
            found.content.device: f" (not {found.place}: {found.why_not})"
            for found in self.discovered
        }
        for fs in self.file_systems:
            if fs.type in {*LINUX, "vfat"} and fs.device not in mounted:
                self.warnings.append(
                    f"the {fs.type} file system on {fs.device} is in no fstab entry; "
                    f"no file on it is looked at or changed{why_not.get(fs.device, '')}"
                )


def _source(entry: Entry) -> str:
    return f"the guest's unit {printable(entry.unit)}" if entry.unit else "the guest's fstab"


def _is_elsewhere(entry: Entry) -> bool:
    """Whether it mounts something that is not a file system of the guest's disks."""
    flags = {"bind", "rbind", "loop", "_netdev"} & set(entry.options)
    looped = entry.spec.startswith("/") and not entry.spec.startswith("/dev/")
    kept_elsewhere = _ELSEWHERE.fullmatch(entry.type) or ":" in entry.spec.partition("=")[0]
    return bool(flags or looped or kept_elsewhere or not entry.mount_point.startswith("/"))


def _disk(device: str) -> str:
    """The disk of a partition; any other device itself."""
    match = re.fullmatch(r"(/dev/sd[a-z]+)\d*", device)
    return match[1] if match else device
