r"""The names of devices in a guest's fstab, and which of its file systems they mean.

References: fstab(5) "The first field"; systemd ``rules.d/60-persistent-storage.rules.in`` and
``src/shared/device-nodes.c`` (``\x20`` for what a file name should not hold); crypttab(5);
Linux ``Documentation/admin-guide/devices.rst``; LVM2 ``udev/13-dm-disk.rules.in`` (``dm-uuid-``,
``dm-name-``); mdadm ``udev-md-raid-arrays.rules`` (``md-uuid-``, ``md-name-``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from unclone.images.volumes import FileSystem

#: ``UUID=`` and the like, and their folders under ``/dev/disk``.
_TAGS = {
    "UUID": "uuid",
    "LABEL": "label",
    "PARTUUID": "partition_uuid",
    "PARTLABEL": "partition_label",
}
_EXACT = {"label", "partition_label"}

_LETTERED = re.compile(r"/dev/(?:s|v|xv|h)d([a-z]+)(\d*)")
_NUMBERED = re.compile(r"/dev/(?:nvme(\d{1,3})n\d+|mmcblk(\d{1,3}))(?:p(\d+))?")
#: Names that udev derives from what is on the disks: of device-mapper devices, and of arrays.
_BY_MAPPER = re.compile(r"/dev/disk/by-id/dm-(?:uuid-(?P<uuid>.+)|name-(?P<name>.+))")
_BY_ARRAY = re.compile(r"/dev/disk/by-id/md-(?:uuid|name)-.*?(?:-part(?P<part>\d+))?")
_BY_HARDWARE = re.compile(r"/dev/disk/by-(?:id|path)/.*?(?:-part(\d+))?")


def disk_name(index: int) -> str:
    """The engines' name for the disk number *index*: 0 is ``/dev/sda``, 26 ``/dev/sdaa``."""
    letters = ""
    while index >= 0:
        index, letter = divmod(index, 26)
        letters = chr(ord("a") + letter) + letters
        index -= 1
    return f"/dev/sd{letters}"


class DeviceNames:
    """Finds file systems by the guest's names for them.

    A name that depends on the order of disks (``/dev/vdb1``) means the disk at that place among
    those that were given; engines name them ``/dev/sda``, ``/dev/sdb`` ... in that order.
    """

    def __init__(self, file_systems: Sequence[FileSystem], crypttab: str = "") -> None:
        """Take the guest's file systems, and the text of its crypttab: the names of containers."""
        self._all = file_systems
        self._containers = dict(_containers(crypttab))

    def find(self, spec: str) -> Sequence[FileSystem]:
        """Every file system that *spec* may mean: several where identifiers are not unique."""
        tag, equals, value = spec.partition("=")
        if equals and tag.upper() in _TAGS:
            return self._tagged(_TAGS[tag.upper()], value.strip("\"'"))
        for tag, attribute in _TAGS.items():
            folder = f"/dev/disk/by-{tag.lower()}/"
            if spec.startswith(folder):
                return self._tagged(attribute, _unescaped(spec.removeprefix(folder)))
        devices = set(self._devices(spec))
        return [fs for fs in self._all if fs.device in devices]

    def _tagged(self, attribute: str, value: str) -> Sequence[FileSystem]:
        def same(fs: FileSystem) -> bool:
            held: str = getattr(fs, attribute)
            if attribute in _EXACT:
                return held == value
            return held.casefold() == value.casefold()

        # A container has a UUID as well, but nothing mounts it.
        return [fs for fs in self._all if value and same(fs)]

    def _devices(self, spec: str) -> Iterable[str]:
        if lettered := _LETTERED.fullmatch(spec):
            yield f"/dev/sd{lettered[1]}{lettered[2]}"
        elif numbered := _NUMBERED.fullmatch(spec):
            yield f"{disk_name(int(numbered[1] or numbered[2]))}{numbered[3] or ''}"
        elif mapper := _BY_MAPPER.fullmatch(spec):
            yield from self._mapped(mapper["name"]) if mapper["name"] else self._of(mapper["uuid"])
        elif array := _BY_ARRAY.fullmatch(spec):
            part = f"p{array['part']}" if array["part"] else ""
            yield from self._arrays(rf"/dev/md\d+{part}")
        elif hardware := _BY_HARDWARE.fullmatch(spec):
            if all(re.fullmatch(r"/dev/sda\d*", fs.device) for fs in self._all):
                yield f"/dev/sda{hardware[1] or ''}"  # there is only one disk it can be on
        elif spec.startswith("/dev/mapper/"):
            yield from self._mapped(spec.removeprefix("/dev/mapper/"))
        elif spec.startswith("/dev/md"):
            yield from self._arrays("/dev/md.*") or [spec]
        else:
            yield spec  # /dev/VG/LV

    def _arrays(self, pattern: str) -> Sequence[str]:
        """The only array there is; with several, a name does not say which is meant."""
        arrays = [fs.device for fs in self._all if re.fullmatch(pattern, fs.device)]
        return arrays if len(arrays) == 1 else ()

    def _of(self, uuid: str) -> Iterable[str]:
        """The devices with the device-mapper UUID *uuid*; that of a container ends in its name."""
        crypt = re.match(r"CRYPT-LUKS\d-[0-9a-f]{32}-", uuid)
        for fs in self._all:
            if fs.mapper_uuid == uuid or (crypt and fs.mapper_uuid.startswith(crypt[0])):
                yield fs.device

    def _mapped(self, name: str) -> Iterable[str]:
        yield f"/dev/mapper/{name}"
        # LVM doubles the hyphens in names to separate them by a single one.
        group, hyphen, volume = name.replace("--", "\0").partition("-")
        if hyphen:
            yield f"/dev/{group}/{volume}".replace("\0", "-")
        if name in self._containers:
            # Without crypttab: an entry may name itself.
            for container in DeviceNames(self._all).find(self._containers[name]):
                yield f"/dev/mapper/luks-{container.uuid}"


def _containers(crypttab: str) -> Iterable[tuple[str, str]]:
    for line in crypttab.splitlines():
        words = line.split()
        if len(words) > 1 and not line.startswith("#"):
            yield words[0], words[1]


def _unescaped(name: str) -> str:
    raw = name.encode("utf-8", "surrogateescape")
    plain = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), raw)
    return plain.decode("utf-8", "surrogateescape")
