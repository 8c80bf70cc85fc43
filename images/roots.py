"""Finding the root file system of a guest: each file system is mounted read-only once.

References: file-hierarchy(7); os-release(5); ``btrfs-subvolume(8)`` (the default subvolume is what
a mount without ``subvol=`` shows).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from unclone.images import discoverable
from unclone.images.discoverable import Discovery
from unclone.images.errors import EngineError, RefusedError
from unclone.images.file_systems.table import UNKNOWN, names_with_root_of
from unclone.images.fstab import parse
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.mount_units import merged
from unclone.images.text import printable
from unclone.images.volumes import CheckState, IdentifierKind, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.fstab import Entry
    from unclone.images.volumes import FileSystem, Volumes

#: The types of file systems for a root of Linux, and of Windows.
LINUX, WINDOWS = names_with_root_of("linux"), names_with_root_of("windows")

#: Bytes. A larger fstab or crypttab is refused, because its end would be missed.
_TABLE_LIMIT = 16 * 1024 * 1024
#: Mounts in fstab and mount units.
_ENTRY_LIMIT = 5000

#: In the order of systemd-gpt-auto-generator(8); installers mount it at the last.
_ESP_PLACES = ("/efi", "/boot", "/boot/efi")

#: What a boot loader reads or starts, from the top of a file system that is no root.
_BOOT_FILES = (
    *(f"/{folder}grub*/*.[cl][fs][gt]" for folder in ("", "boot/")),
    *(f"/{folder}{name}" for folder in ("", "boot/") for name in ("loader*/entries", "EFI/*")),
    *(f"/{folder}{name}*" for folder in ("", "boot/") for name in ("extlinux", "syslinux")),
    *(f"/{name}" for name in ("grub*.cfg", "limine*", "bootmap", "boot.scr", "boot.cmd")),
    *(
        f"/{name}*"
        for name in ("vmlinu[xz]", "kernel", "initr", "uEnv", "cmdline.txt", "[zbu]Image")
    ),
)

#: Systems whose root is put together at boot: what is seen of one, and what it is.
_NO_PLAIN_ROOT = (
    ("/ostree/deploy/*/deploy", "deployments of ostree (Silverblue, CoreOS, IoT)"),
    ("/system-data/var/lib/snapd", "an Ubuntu Core"),
    ("/boot/*/*.squashfs", "a live system on squashfs (VyOS)"),
    ("/live/*.squashfs", "a live system on squashfs"),
    ("/A/initramfs.xz", "the kernel of a Talos node"),
    ("/EFI/Linux/[Tt]alos-*.[Ee][Ff][Ii]", "the kernel of a Talos node"),
    ("/cOS/*.img", "system images of Kairos or Elemental"),
)

#: Top-level directories of a btrfs file system that are searched for a root.
_MANY_SUBVOLUMES = 200


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system, and what it says about the others.

    ``entries`` is what its fstab and its mount units mount. ``places`` has the physical path of
    each mount point in it, or the ``OSError`` why nothing can be mounted there.
    ``empty_boot_places`` are directories in which systemd mounts an EFI system partition that fstab
    does not name.
    ``missing`` are mount points that do not exist, of ``places`` and of discovered partitions.
    ``hiding`` are the mount units that no other unit wants and that would hide files at their mount
    point.
    ``boots`` are the devices of other file systems that hold what a boot loader reads, and
    ``unreadable`` of those that cannot be looked into.
    """

    mount: Mount
    entries: Sequence[Entry]
    crypttab: str
    places: Mapping[str, str | OSError]
    empty_boot_places: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()
    discovery: Discovery = field(default_factory=Discovery)
    hiding: frozenset[str] = frozenset()
    boots: frozenset[str] = frozenset()
    unreadable: frozenset[str] = frozenset()


def find_root(volumes: Volumes, file_systems: Sequence[FileSystem]) -> Root:
    """Find the one root on *file_systems*. Leaves nothing mounted.

    Raises RefusedError when there is none or more than one, or when there is a Windows.
    """
    if all(fs.type == UNKNOWN for fs in file_systems):
        raise RefusedError(
            "the disk has no partition table and no file system that is known",
            hint="Is this the right disk? An encrypted or blank disk looks the same.",
        )
    roots: list[Root] = []
    others: list[str] = []
    unreadable: dict[str, str] = {}
    inside: dict[str, str] = {}
    boots: list[str] = []
    for fs in file_systems:
        if fs.type not in LINUX | WINDOWS:
            continue
        try:
            volumes.mount(fs.device, "/", subvolume="", read_only=True)
        except EngineError as error:
            unreadable[fs.device] = error.message
            continue
        try:
            here = list(_roots_on(volumes, fs))
            roots.extend(here)
            if not here and fs.type in LINUX:
                guest = Guest(volumes, _just(fs))
                boots += [fs.device] if _has_boot_files(guest) else []
                signs = [what for sign, what in _NO_PLAIN_ROOT if guest.glob(sign)]
                inside.update({fs.device: signs[0]} if signs else {})
            if fs.type in WINDOWS and _is_windows(Guest(volumes, _just(fs))):
                others.append(f"{fs.device} (Windows)")
        finally:
            volumes.unmount_all()
    found = [_shown(root.mount) for root in roots] + others
    if len(found) > 1:
        raise RefusedError(
            f"there is more than one operating system: {', '.join(found)}",
            hint="unclone changes guests with one operating system; "
            "give it a disk that holds just that.",
        )
    if not roots:
        raise _nothing_found(volumes, file_systems, others, unreadable, inside)
    return replace(roots[0], boots=frozenset(boots), unreadable=frozenset(unreadable))


def _has_boot_files(guest: Guest) -> bool:
    return any(guest.glob(pattern) for pattern in _BOOT_FILES)


def _roots_on(volumes: Volumes, fs: FileSystem) -> Iterator[Root]:
    """The roots on *fs*, which is mounted, btrfs subvolumes included."""
    if fs.type not in LINUX:
        return
    guest = Guest(volumes, _just(fs))
    if _is_root(guest, ""):
        yield _read(guest, Mount(fs.device, "/", fs.type))
        return
    if fs.type != "btrfs":
        return
    for subvolume in _own_subvolumes(guest):
        volumes.unmount_all()
        mount = Mount(fs.device, "/", fs.type, subvolume)
        volumes.mount(fs.device, "/", subvolume=subvolume, read_only=True)
        yield _read(Guest(volumes, Layout((mount,))), mount)


def _own_subvolumes(guest: Guest) -> Sequence[str]:
    """The subvolumes that hold a root, without snapshots of another one.

    A snapshot has the fstab of its original; only the original has the name that this fstab gives
    the root.
    """
    names = guest.list("/")[:_MANY_SUBVOLUMES]
    found = [name for name in names if _is_root(guest, f"/{name}")]
    originals = [name for name in found if _root_subvolume(guest, f"/{name}") == name]
    return originals if len(originals) == 1 else found


def _root_subvolume(guest: Guest, base: str) -> str:
    entries = parse(guest.text_or_empty(f"{base}/etc/fstab", _TABLE_LIMIT)).entries
    return next((e.subvolume.strip("/") for e in entries if e.mount_point == "/"), "")


def _is_root(guest: Guest, base: str) -> bool:
    names = guest.list(base or "/")
    if "etc" not in names or not {"usr", "bin"} & set(names):
        return False
    # The names are enough: os-release is a symlink into /usr, which may be on another disk.
    configured = guest.list(f"{base}/etc")
    return bool({"os-release", "fstab"} & set(configured))


def _read(guest: Guest, mount: Mount) -> Root:
    entries = merged(parse(_table(guest, "/etc/fstab")).entries, guest)
    if len(entries) > _ENTRY_LIMIT:
        raise RefusedError(
            f"the guest's /etc/fstab mounts {len(entries)} file systems; no more than "
            f"{_ENTRY_LIMIT} are looked at",
            hint="Make it smaller in the guest.",
        )
    places: dict[str, str | OSError] = {}
    for entry in entries:
        if entry.mount_point.startswith("/"):
            try:
                places[entry.mount_point] = _place(guest, entry.mount_point)
            except OSError as error:
                places[entry.mount_point] = error
    crypttab = _table(guest, "/etc/crypttab")
    empty = (place for place in _ESP_PLACES if _is_empty_folder(guest, place))
    named = [*(p for p in places.values() if isinstance(p, str)), *discoverable.PLACES]
    missing = (place for place in named if guest.stat(place) is None)
    return Root(
        mount,
        entries,
        crypttab,
        places,
        tuple(empty),
        frozenset(missing),
        Discovery.of(guest),
        frozenset(entry.unit for entry in entries if _may_hide(guest, entry)),
    )


def _table(guest: Guest, path: str) -> str:
    """The whole text of *path*; "" when there is none. Raises RefusedError when it is too large."""
    stat = guest.stat(path)
    if stat is not None and stat.size > _TABLE_LIMIT:
        raise RefusedError(
            f"the guest's {path} has {stat.size} bytes; no more than {_TABLE_LIMIT} are read",
            hint="Make it smaller in the guest.",
        )
    return guest.text_or_empty(path, _TABLE_LIMIT)


def _may_hide(guest: Guest, entry: Entry) -> bool:
    """Whether *entry* may not be mounted, and its mount point has files."""
    return (
        not entry.started
        and guest.is_dir(entry.mount_point)
        and bool(guest.list(entry.mount_point))
    )


def _is_empty_folder(guest: Guest, path: str) -> bool:
    stat = guest.lstat(path)
    return stat is not None and stat.kind is Kind.DIRECTORY and not guest.list(path)


def _place(guest: Guest, mount_point: str) -> str:
    if "\0" in mount_point:
        raise FileNotFoundError("no path holds a null byte")
    try:
        return guest.resolve(mount_point)
    except FileNotFoundError:
        # Below another mount point: what is there shows only when that one is mounted, and
        # Layout.mount looks again. Without ".." the path is physical as far as can be known.
        if ".." in mount_point.split("/"):
            raise
        return "/" + "/".join(part for part in mount_point.split("/") if part not in {"", "."})


def _is_windows(guest: Guest) -> bool:
    return "windows" in {name.casefold() for name in guest.list("/")}


def _nothing_found(
    volumes: Volumes,
    file_systems: Sequence[FileSystem],
    windows: Sequence[str],
    unreadable: Mapping[str, str],
    inside: Mapping[str, str],
) -> RefusedError:
    foreign = [fs.device for fs in file_systems if fs.type in WINDOWS]
    if windows or (foreign and len(foreign) == len(unreadable)):
        return RefusedError(
            f"this is a Windows guest: {', '.join(windows or foreign)}",
            hint="unclone changes Linux guests; Windows has Sysprep of its own.",
        )
    for fs in file_systems:
        if fs.device in unreadable and fs.type in LINUX:
            result = volumes.check(fs.device, repair=False)
            damaged = result.state is CheckState.DAMAGED
            state = f"is damaged: {result.output}" if damaged else unreadable[fs.device]
            return RefusedError(
                f"the {fs.type} file system on {fs.device} cannot be mounted: {printable(state)}",
                hint="Repair it first (its fsck, on a copy of the disk) and try again.",
            )
    if inside:
        return RefusedError(
            "no root directory that could be changed was found: "
            + "; ".join(f"{device} holds {what}" for device, what in inside.items()),
            hint="Make each machine from the distribution's own image, and give it its identity "
            "at the first boot (Ignition, cloud-init, Talos' machine configuration).",
        )
    if closed := closed_groups(volumes):
        why = "; ".join(closed.values())
        return RefusedError(f"no operating system was found: {why}", hint=group_hint(closed))
    seen = ", ".join(f"{fs.device} ({printable(fs.type)})" for fs in file_systems)
    return RefusedError(
        f"no operating system was found; on the disk: {seen}",
        hint="If the root file system is on another disk, add that with --add-disk.",
    )


def closed_groups(volumes: Volumes) -> Mapping[str, str]:
    """The names of the volume groups that LVM does not open, with the reason for each."""
    names = [fs.device for fs in volumes.file_systems()]
    return {
        printable(found.device.rpartition("/")[2]): why
        for found in volumes.identifiers()
        if found.kind is IdentifierKind.LVM_VG_UUID
        and not any(name.startswith(f"{found.device}/") for name in names)
        and (why := volumes.unsettable(found))
    }


def group_hint(closed: Mapping[str, str]) -> str:
    """A hint on what to do about the groups from :func:`closed_groups`."""
    systemid = " and ".join(f'`vgchange --systemid "" {name}`' for name in closed)
    return (
        f"In the original run {systemid} where it has a system ID, or vgimport where it is "
        "exported, and copy its disks again; add disks that are missing with --add-disk."
    )


def _just(fs: FileSystem) -> Layout:
    return Layout((Mount(fs.device, "/", fs.type),))


def _shown(mount: Mount) -> str:
    return mount.device + (f" (subvolume {printable(mount.subvolume)})" if mount.subvolume else "")
