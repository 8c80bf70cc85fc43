"""One guest in the appliance, as :class:`unclone.images.volumes.Volumes`."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs import checks, identifiers
from unclone.images.engines.guestfs.appliance import shell_value
from unclone.images.engines.guestfs.devices import holds_file_system, read_devices
from unclone.images.engines.guestfs.files import FileOperations
from unclone.images.engines.guestfs.mounting import MOUNT_OPTIONS
from unclone.images.engines.guestfs.native import decode, encode
from unclone.images.errors import EngineError
from unclone.images.file_systems.table import type_of
from unclone.images.text import printable
from unclone.images.volumes import IdentifierKind, Subvolume

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unclone.images.engines.guestfs.appliance import Appliance
    from unclone.images.engines.guestfs.devices import Device
    from unclone.images.volumes import CheckResult, FileSystem, Identifier

#: Seconds; the blocks of a snapshot are freed one by one.
_DELETING_LIMIT = 3600.0
#: What btrfs-subvolume(8) prints. A name may have several lines.
_ID = re.compile(rb"ID (\d+) gen \d+ top level \d+ ")
_LISTED = re.compile(
    rb"^"
    + _ID.pattern
    + rb"parent_uuid (\S+) +uuid (\S+) +path (.*?)\n(?="
    + _ID.pattern
    + rb"|\Z)",
    re.MULTILINE | re.DOTALL,
)


class GuestfsVolumes(FileOperations):
    """The guest on *drives* of *appliance*; on all of them when empty.

    The blkid tags are read again when they may have changed: after an identifier was set or a file
    system was mounted writable.
    """

    engine = "guestfs"

    def __init__(
        self, appliance: Appliance, devices: Sequence[Device], drives: Sequence[str] = ()
    ) -> None:
        """*devices* are those after the containers were opened."""
        super().__init__(appliance)
        self._drives = tuple(drives)
        self._known: dict[str, Device] = {device.name: device for device in devices}
        self._stale = False  # what blkid reported may have changed; the devices are the same
        self._snapshots: Mapping[str, str] | None = None
        self._written = False  # and not yet known to have reached the drives

    # -- devices ---------------------------------------------------------------------------
    def file_systems(self) -> Sequence[FileSystem]:
        """Everything on the drives that can be mounted, swapped to or opened."""
        return [device.file_system() for device in self._originals() if holds_file_system(device)]

    def identifiers(self) -> Sequence[Identifier]:
        """Every identifier, as it is on the disks."""
        return identifiers.read_identifiers(self._appliance, self._originals())

    def volume_snapshots(self) -> Mapping[str, str]:
        """The snapshots among logical volumes, active or not."""
        if self._snapshots is None:
            self._snapshots = identifiers.volume_snapshots(self._appliance, self._devices())
        return self._snapshots

    def unsettable(self, identifier: Identifier) -> str:
        """Why *identifier* cannot be set to another value; "" when it can."""
        return identifiers.unsettable(self._appliance, identifier, self._devices())

    def set_identifiers(self, wanted: Sequence[Identifier]) -> None:
        """Set each of *wanted*; nothing is mounted."""
        self._written = True
        devices = self._devices()
        # An array is stopped, and the devices on top of it are made again with the same names, but
        # with other nodes.
        arrays = [i for i in wanted if i.kind is IdentifierKind.MD_UUID]
        for identifier in [*(i for i in wanted if i not in arrays), *arrays]:
            identifiers.set_identifier(self._appliance, identifier, devices)
            self._stale = True
            if identifier in arrays:
                devices = self._devices()

    def check(self, device: str, *, repair: bool, force: bool = True) -> CheckResult:
        """As ``Volumes.check``, always as with *force*."""
        del force
        self._written |= repair
        return checks.check(self._appliance, self._device(device), repair=repair)

    def begin_check(self, device: str) -> Callable[[], CheckResult]:
        """As ``Volumes.begin_check``; checks now, because the appliance runs one call at a time."""
        result = self.check(device, repair=False)
        return lambda: result

    # -- mounting --------------------------------------------------------------------------
    def mount(self, device: str, mount_point: str, *, subvolume: str, read_only: bool) -> None:
        """Mount *device* at *mount_point* of the guest root ("/" first)."""
        found = self._device(device)
        self._written |= not read_only
        options = [*MOUNT_OPTIONS, "noatime", "ro" if read_only else "rw"]
        options += type_of(found.type).mount_options
        if subvolume:
            if not _can_be_an_option(subvolume):
                raise EngineError(f"cannot mount a subvolume named '{printable(subvolume)}'")
            options.append(f"subvol={subvolume}")
        values = [",".join(options), found.type, found.name, mount_point]
        arguments = [encode(value) for value in values]
        self._appliance.call(lambda: self._native.status("mount_vfs", *arguments))

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""
        place = shell_value("place", b"/sysroot" + encode(mount_point))
        # Names are any bytes: in hexadecimal, each line in one word.
        hexadecimal = "od -An -v -tx1 | tr -d ' \\n'"
        listed, default = (
            bytes.fromhex(
                self._appliance.shell(f'{place} {command} "$place" | {hexadecimal}').decode()
            )
            for command in ("btrfs subvolume list -q -u", "btrfs subvolume get-default")
        )
        chosen = _ID.match(default)
        found = {match[1]: _subvolume(match) for match in _LISTED.finditer(listed)}
        which = found.get(chosen[1]) if chosen else None
        return tuple(found.values()), which.path if which else ""

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        """Delete *paths*, and wait until their blocks are freed."""
        self._written = True
        for path in paths:
            place = shell_value("place", b"/sysroot/" + encode(path))
            delete = 'btrfs subvolume delete "$place"'
            self._appliance.shell(f"exec 2>&1; {place} {delete}", limit=_DELETING_LIMIT)
        self._appliance.shell("exec 2>&1; btrfs subvolume sync /sysroot", limit=_DELETING_LIMIT)

    def unmount_all(self) -> None:
        """Unmount everything and write it to the drives.

        Raises EngineError when the kernel reports a write error; umount(2) itself succeeds.
        """
        self._appliance.call(lambda: self._native.status("umount_all"))
        if not self._written:
            return
        self._appliance.require_written()
        self._stale, self._written = True, False

    # -- the end ---------------------------------------------------------------------------
    def close(self) -> None:
        """Write everything out and close the drives."""
        if self._written and not self._appliance.closed:
            self.unmount_all()
        self._appliance.close()

    # -- helpers ---------------------------------------------------------------------------
    def _originals(self) -> Sequence[Device]:
        """The devices without snapshots of one of them, which are other states of the guest."""
        devices, snapshots = self._devices(), self.volume_snapshots()
        names = {device.name for device in devices}
        return [device for device in devices if snapshots.get(device.name) not in names]

    def _devices(self) -> Sequence[Device]:
        if self._stale:
            devices = read_devices(self._appliance, self._drives)
            self._known = {device.name: device for device in devices}
            self._stale = False
        return list(self._known.values())

    def _device(self, name: str) -> Device:
        try:
            return self._known[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "the guest has no such device", name) from None


def _subvolume(match: re.Match[bytes]) -> Subvolume:
    parent = match[2].decode()
    path, uuid = decode(match[4]), match[3].decode()
    return Subvolume(path, uuid, "" if parent == "-" else parent, int(match[1]))


def _can_be_an_option(subvolume: str) -> bool:
    return subvolume.isprintable() and "," not in subvolume and "\\" not in subvolume
