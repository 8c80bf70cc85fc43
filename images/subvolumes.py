"""Other systems on a btrfs: snapshots and subvolumes that the guest does not mount.

Each may have the machine-id and the private host keys of the original. The guest's paths do not
reach them, so they are searched once, from the top of the file system.

A snapshot has the UUID of its original, also when that was deleted. Ancestors and descendants of a
mounted subvolume count as snapshots, and so do subvolumes where snapper and Timeshift put theirs.
Other subvolumes, of containers or data, do not.

References: btrfs-subvolume(8) (``list``, ``get-default``, ``delete``); snapper(8); timeshift;
btrbk(1).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import EngineError
from unclone.images.guest import Guest, parent
from unclone.images.layout import Layout, Mount, OtherSystem, Snapshot
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.volumes import Subvolume, Volumes

#: Subvolumes that are searched; further ones are reported as not searched.
_MANY = 1000
#: The number of the top-level subvolume of a btrfs.
_TOP = 5
#: Bytes of a machine-id file.
_ID_LIMIT = 64
_ID = re.compile(rb"\s*[0-9a-fA-F-]{32,36}\s*")
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_HOST_KEYS = "/etc/ssh"
#: Further files whose content has to differ between machines.
_OTHER_FILES = (
    "/etc/iscsi/initiatorname.iscsi",
    "/etc/nvme/hostnqn",
    "/var/lib/cloud/data/instance-id",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
)
#: Where snapper and Timeshift put snapshots.
_OF_TOOLS = re.compile(
    r"(.*/)?[.@_]*snapshots/\d+/snapshot|timeshift-btrfs/snapshots/[^/]+/[^/]+", re.DOTALL
)


class Others(NamedTuple):
    """The subvolumes of a guest that are not mounted."""

    systems: tuple[OtherSystem, ...]
    snapshots: tuple[Snapshot, ...]
    #: The path of the default subvolume by device; "" for the top.
    defaults: Mapping[str, str]


def find_others(volumes: Volumes, mounts: Sequence[Mount]) -> Others:
    """The other systems on every btrfs of *mounts*. Leaves nothing mounted."""
    devices = dict.fromkeys(mount.device for mount in mounts if mount.type == "btrfs")
    found = [_on(volumes, device, mounts) for device in devices]
    return Others(
        tuple(system for each in found for system in each.systems),
        tuple(snapshot for each in found for snapshot in each.snapshots),
        {device: default for each in found for device, default in each.defaults.items()},
    )


def path_of(volumes: Volumes, device: str, number: int) -> str | None:
    """The path of the subvolume *number* (``subvolid=``) on *device*; None when there is none.

    Nothing is mounted before and after. Raises EngineError.
    """
    if number == _TOP:
        return "/"
    try:
        volumes.mount(device, "/", subvolume="/", read_only=True)
        listed = volumes.subvolumes("/")[0]
    finally:
        volumes.unmount_all()
    return next((each.path for each in listed if each.number == number), None)


def delete(guest: Guest, device: str, paths: Sequence[str]) -> None:
    """Delete the subvolumes *paths* on *device*, and the directories of tools for them.

    The guest is unmounted. Raises EngineError when one cannot be deleted.
    """
    volumes = guest.unmounted()
    volumes.mount(device, "/", subvolume="/", read_only=False)
    try:
        volumes.delete_subvolumes(sorted(paths, key=lambda path: (-path.count("/"), path)))
        left = [subvolume.path for subvolume in volumes.subvolumes("/")[0]]
        top = Guest(volumes, Layout((Mount(device, "/", "btrfs", "/"),)))
        for folder in dict.fromkeys(filter(None, map(_folder_of_tool, paths))):
            if not any(path.startswith(f"{folder}/") for path in left):
                top.remove(f"/{folder}")
    finally:
        volumes.unmount_all()


def _on(volumes: Volumes, device: str, mounts: Sequence[Mount]) -> Others:
    top = Mount(device, "/", "btrfs", "/")
    volumes.unmount_all()
    try:
        volumes.mount(device, "/", subvolume="/", read_only=True)
        listed, default = volumes.subvolumes("/")
        places = defaultdict(list)
        for mount in mounts:
            if mount.device == device:
                path = mount.subvolume.strip("/") if mount.subvolume else default
                places[path].append(mount.mount_point)
        related = _related(listed, places)
        snapshots = tuple(
            Snapshot(
                device,
                each.path,
                each.uuid,
                _why_it_stays(each.path, listed, related, places, default),
            )
            for each in listed
            if each.path in related and each.path not in places
        )
        guest = Guest(volumes, Layout((top,)))
        systems = tuple(_systems(guest, device, listed, places, related))
    except EngineError:
        # The check of the file system reports what is wrong with it.
        return Others((OtherSystem(device, "", ()),), (), {})
    finally:
        volumes.unmount_all()
    return Others(systems, snapshots, {device: default})


def _systems(
    guest: Guest,
    device: str,
    listed: Sequence[Subvolume],
    places: Mapping[str, Sequence[str]],
    related: Mapping[str, Sequence[str]],
) -> Iterator[OtherSystem]:
    # The top of the file system is not in the list of its subvolumes.
    others = [path for path in ("", *(each.path for each in listed)) if path not in places]
    for path in others[:_MANY]:
        tops = related.get(path) or ["/"]
        files = tuple(dict.fromkeys(f for top in tops for f in identifying(guest, path, top)))
        if files:
            yield OtherSystem(device, path, files)
    for path in others[_MANY:]:
        yield OtherSystem(device, path, ())


def _related(
    listed: Sequence[Subvolume], places: Mapping[str, Sequence[str]]
) -> Mapping[str, Sequence[str]]:
    """The paths of the snapshots in *listed*, and where their originals are mounted."""
    group: dict[str, set[str]] = {}  # by UUID, the UUIDs of its ancestors and descendants
    for each in listed:
        one = group.get(each.uuid, {each.uuid}) if each.uuid else set()
        both = one | (group.get(each.parent, {each.parent}) if each.parent else set())
        group.update(dict.fromkeys(both, both))
    mounted = {each.uuid: places[each.path] for each in listed if each.path in places}
    found = {}
    for each in listed:
        tops = [place for uuid in group.get(each.uuid, ()) for place in mounted.get(uuid, ())]
        if tops or _OF_TOOLS.fullmatch(each.path):
            found[each.path] = tops or ["/"]
    return found


def _why_it_stays(
    path: str,
    listed: Sequence[Subvolume],
    related: Mapping[str, Sequence[str]],
    places: Mapping[str, Sequence[str]],
    default: str,
) -> str:
    if path == default:
        return "it is the default subvolume"
    inside = [each.path for each in listed if each.path.startswith(f"{path}/")]
    for other in inside:
        if other in places or other == default or other not in related:
            return f"it holds the subvolume {printable(other, 80)}"
    return ""


def _folder_of_tool(path: str) -> str:
    """The directory that a tool made for the snapshot *path*; "" for another subvolume."""
    return parent(f"/{path}").strip("/") if _OF_TOOLS.fullmatch(path) else ""


def identifying(guest: Guest, subvolume: str, top: str) -> Iterator[str]:
    """Paths in *subvolume*, a copy of the one mounted at *top*, that identify the original."""
    above, base = f"{top.rstrip('/')}/", f"/{subvolume}".rstrip("/")
    for name in _MACHINE_IDS:
        path = name.removeprefix(above.rstrip("/"))
        if name.startswith(above) and _ID.fullmatch(_content(guest, f"{base}{path}")):
            yield path.strip("/")
    if f"{_HOST_KEYS}/".startswith(above):
        folder = f"{_HOST_KEYS}/".removeprefix(above).strip("/")
        for name in guest.list(f"{base}/{folder}"):
            if name.startswith("ssh_host_") and name.endswith("_key"):
                yield f"{folder}/{name}".strip("/")
    for name in _OTHER_FILES:
        path = name.removeprefix(above.rstrip("/"))
        if name.startswith(above) and _content(guest, f"{base}{path}"):
            yield path.strip("/")


def is_identity(guest: Guest, path: str, place: str) -> bool:
    """Whether the file *path*, seen at *place*, identifies the original."""
    if place in _MACHINE_IDS:
        return _ID.fullmatch(_content(guest, path)) is not None
    is_key = place.startswith(f"{_HOST_KEYS}/ssh_host_") and place.endswith("_key")
    return (is_key or place in _OTHER_FILES) and bool(_content(guest, path))


def _content(guest: Guest, path: str) -> bytes:
    try:
        return guest.read(path, _ID_LIMIT)
    except OSError:
        return b""
