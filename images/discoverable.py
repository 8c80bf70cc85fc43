"""Partitions that systemd mounts by their GPT type, where fstab does not name the mount point.

References: UAPI Group, "Discoverable Partitions Specification"; systemd-gpt-auto-generator(8);
systemd v257 ``src/gpt-auto-generator/gpt-auto-generator.c`` (what is mounted where, and when it is
not), ``src/shared/dissect-image.c`` (which of several partitions of one type; the GUID of a /var),
``src/libsystemd/sd-id128/sd-id128.c`` (identifiers made from the machine-id); systemd.generator(7)
(the folders, and how a generator is masked).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.images.volumes import FileSystem

VAR = "4d21b016-b534-45c2-a9fb-5c16e091fd2d"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"

#: Types of a /usr partition: one for each processor architecture.
_USR = """
    75250d76-8cc6-458e-bd66-bd47cc81a812 8484680c-9521-48c6-9c11-b0720656f69e
    e18cf08c-33ec-4c0d-8246-c6c6fb3da024 7978a683-6316-4922-bbee-38bff5a2fecc
    7d0359a3-02b3-4f0a-865c-654403e70625 b0e01050-ee5f-4390-949a-9101b17104e9
    4301d2a6-4e3b-4b2a-bb94-9e0b2c4225ea e611c702-575c-4cbe-9a46-434fa0bf7e3f
    0f4868e9-9952-4706-979f-3ed3a473e947 c97c1f32-ba06-40b4-9f22-236061b08aa8
    7d14fec5-cc71-415d-9d6c-06bf0b3c3eaf 2c9739e2-f068-46b3-9fd0-01c5a9afbcca
    15bb03af-77e7-4d4a-b12b-c0d084f7491c b933fb22-5c3f-4f91-af90-e2bb0fa50702
    beaec34b-8442-439b-a40b-984381ed097d cd0f869b-d0fb-4ca0-b141-9ea87cc78d66
    8a4f5770-50aa-4ed3-874a-99b710db6fea 55497029-c7c1-44cc-aa39-815ed1558630
"""

#: Where a partition of each type is mounted.
_PLACES = {
    **dict.fromkeys(_USR.split(), "/usr"),
    "bc13c2ff-59e6-4262-a352-b275fd6f7172": "/boot",
    "933ac7e1-2eb4-4f13-b844-0e14e2aef915": "/home",
    "3b8f8425-20e0-4f3b-907f-1a25a76f98e8": "/srv",
    VAR: "/var",
    "7ec6f557-3bc5-4aca-b293-16ef5df639d1": "/var/tmp",  # noqa: S108 (a path of the guest)
}

#: Mount points of what is discovered, and of an EFI system partition.
PLACES = tuple(dict.fromkeys((*_PLACES.values(), "/efi")))

#: Attribute bits. Read-only (60) and growing (59) say how the guest mounts it, not whether.
_NO_AUTO = 1 << 63

_GENERATOR = "systemd-gpt-auto-generator"
_OVERRIDES = ("/etc/systemd/system-generators", "/usr/local/lib/systemd/system-generators")
_INSTALLED = ("/usr/lib/systemd/system-generators", "/lib/systemd/system-generators")

_PARTITION = re.compile(r"(/dev/sd[a-z]+)\d+")
_ID = re.compile(r"[0-9a-f]{32}")


class Discovered(NamedTuple):
    """A partition, and the mount point for its type; ``why_not`` says why it is not mounted.

    ``content`` is what is inside when ``partition`` is an opened container, else ``partition``.
    """

    partition: FileSystem
    content: FileSystem
    place: str
    why_not: str = ""

    @property
    def may_be_var(self) -> bool:
        """Whether it is mounted at /var in a machine with the matching machine-id."""
        no_auto = self.partition.partition_attributes & _NO_AUTO
        return self.partition.partition_type == VAR and not no_auto


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the root file system says about the discovery of partitions.

    ``free`` are those of :data:`PLACES` that are empty or not there. ``machine_id`` is the text of
    ``/etc/machine-id``.
    """

    enabled: bool = True
    free: frozenset[str] = frozenset()
    machine_id: str = ""

    @classmethod
    def of(cls, guest: Guest) -> Discovery:
        """Read it from *guest*, of which only the root file system is mounted."""
        return cls(
            enabled=_is_enabled(guest),
            free=frozenset(place for place in PLACES if _is_free(guest, place)),
            machine_id=guest.text_or_empty("/etc/machine-id", 4096).strip().lower(),
        )

    def partitions(
        self, file_systems: Sequence[FileSystem], root: str, listed: Collection[str]
    ) -> Iterator[Discovered]:
        """The partitions on the disk of the device *root* that have the type of a mount point.

        *listed* are the mount points in fstab, which are left out.
        """
        disk = disk_of(root, file_systems)
        if not self.enabled or not disk:
            return
        taken: set[str] = set()
        for fs in _newest_usr_first(file_systems):
            place = _PLACES.get(fs.partition_type, "")
            if not place or place in listed or disk_of(fs.device, file_systems) != disk:
                continue
            why_not = self._why_not(fs, place, taken)
            if not why_not:
                taken.add(place)
            yield Discovered(fs, _opened(fs, file_systems), place, why_not)

    def _why_not(self, fs: FileSystem, place: str, taken: Collection[str]) -> str:
        if fs.partition_attributes & _NO_AUTO:
            return "its partition has the no-auto attribute"
        if place not in self.free:
            return f"the root's own {place} is not empty"
        if fs.partition_type == VAR and not self._is_var(fs):
            return "its partition GUID is not made from the machine-id"
        if place in taken:
            return f"another partition is {place}"
        return ""

    def _is_var(self, fs: FileSystem) -> bool:
        """Whether *fs* is /var, or may become it: a guest without a machine-id gets one."""
        digits = self.machine_id.replace("-", "")
        has_id = _ID.fullmatch(digits) is not None
        return not has_id or fs.partition_uuid.lower() == var_partition_uuid(digits)


def var_partition_uuid(machine_id: str) -> str:
    """The GUID that a /var partition has in the machine with *machine_id* (32 hex digits).

    It is the HMAC-SHA256 of the type's GUID with the machine-id as key, cut to 128 bits that are
    marked as a random UUID.
    """
    digest = hmac.digest(bytes.fromhex(machine_id), uuid.UUID(VAR).bytes, hashlib.sha256)
    return str(uuid.UUID(bytes=digest[:16], version=4))


def disk_of(device: str, file_systems: Sequence[FileSystem]) -> str:
    """The disk that *device* is on; "" when it is on none, on several, or that is not known.

    Which volume group a logical volume is in is not looked up: all members count.
    """
    disks: set[str] = set()
    pending, seen = [device], {device}  # hostile containers may form a loop
    while pending:
        one = pending.pop()
        if one.startswith("/dev/sd"):
            match = _PARTITION.fullmatch(one)
            disks.add(match[1] if match else one)
            continue
        below = _below(one, file_systems)
        pending += [name for name in below if name not in seen]
        seen.update(below)
        if not below:
            disks.add("")
    return disks.pop() if len(disks) == 1 else ""


def _below(device: str, file_systems: Sequence[FileSystem]) -> Sequence[str]:
    """The devices directly below *device*, which is inside of a container or an array."""
    for fs in file_systems:
        if fs.type == "crypto_LUKS" and device == f"/dev/mapper/luks-{fs.uuid}":
            return [fs.device]
    inside = "linux_raid_member" if device.startswith("/dev/md") else "LVM2_member"
    return [fs.device for fs in file_systems if fs.type == inside and fs.device != device]


def _opened(fs: FileSystem, file_systems: Sequence[FileSystem]) -> FileSystem:
    """What is inside *fs* when that is an opened LUKS container, else *fs*."""
    inside = f"/dev/mapper/luks-{fs.uuid}"
    found = (each for each in file_systems if each.device == inside)
    return next(found, fs) if fs.type == "crypto_LUKS" else fs


def _newest_usr_first(file_systems: Sequence[FileSystem]) -> Sequence[FileSystem]:
    """*file_systems* in order, after the /usr partitions by descending version of their labels."""
    usr = [fs for fs in file_systems if _PLACES.get(fs.partition_type) == "/usr"]
    usr.sort(key=lambda fs: _version(fs.partition_label), reverse=True)
    return [*usr, *(fs for fs in file_systems if fs not in usr)]


def _version(label: str) -> list[tuple[int, str]]:
    words = re.findall(r"\d+|\D+", label)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def _is_enabled(guest: Guest) -> bool:
    """Whether the generator runs; assumed for a guest in which no generators are seen."""
    for folder in _OVERRIDES:
        path = f"{folder}/{_GENERATOR}"
        if guest.lstat(path) is not None:
            found = guest.stat(path)  # a link to /dev/null leads to nothing here
            return found is not None and found.size > 0
    installed = {name for folder in _INSTALLED for name in guest.list(folder)}
    return not installed or _GENERATOR in installed


def _is_free(guest: Guest, place: str) -> bool:
    if guest.lstat(place) is None:
        return True
    physical = guest.is_dir(place) and guest.resolve(place) == place
    return physical and not guest.list(place)
