"""Identifiers on devices: read by blkid, set with tools or by writing bytes.

Where each kind is stored, and when it must not be changed, is in ``images/file_systems/`` and
``images/identifiers/``. An exit status proves nothing; ``Guest.identifiers`` reads the values back
from the disk. LUKS and LVM stay open: the kernel does not use their UUIDs.

References: tune2fs(8), xfs_admin(8) (its log must be clean, which a mount makes it), btrfstune(8),
btrfs-device(8) ``scan``, sfdisk(8) ``--part-uuid`` ``--disk-id``; UEFI 2.10, 5.2.1 "Legacy Master
Boot Record" (UniqueMBRDiskSignature at 440).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs.arrays import restarted
from unclone.images.engines.guestfs.mounting import mount_command
from unclone.images.errors import EngineError
from unclone.images.file_systems.table import type_of
from unclone.images.identifiers import devices as identified
from unclone.images.identifiers.forms import require_form
from unclone.images.text import printable
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.blocks import Command
    from unclone.images.engines.guestfs.appliance import Appliance
    from unclone.images.engines.guestfs.devices import Device

#: Seconds; all checksums of a large file system are computed, under software emulation.
_LIMIT = 3600.0

#: Bytes in one message to the appliance, which may have 4 MiB.
_MESSAGE = 2 << 20

_MOUNT_POINT = "/run/unclone-identifiers"


def read_identifiers(appliance: Appliance, devices: Sequence[Device]) -> Sequence[Identifier]:
    """Every identifier on *devices*."""
    found = [identifier for device in devices for identifier in _of(device)]
    return [*found, *identified.volume_groups(_seen(appliance, devices))]


def volume_snapshots(appliance: Appliance, devices: Sequence[Device]) -> Mapping[str, str]:
    """As :meth:`unclone.images.volumes.Volumes.volume_snapshots`."""
    return identified.volume_snapshots(_seen(appliance, devices))


def unsettable(appliance: Appliance, identifier: Identifier, devices: Sequence[Device]) -> str:
    """As :meth:`unclone.images.volumes.Volumes.unsettable`."""
    if identifier.kind in identified.TABLE_KINDS:
        kinds = {i.kind for i in _of(identified.find(identifier.device, devices))}
        return "" if identifier.kind in kinds else identified.NO_TABLE
    return identified.unsettable(identifier, _seen(appliance, devices))


def set_identifier(appliance: Appliance, identifier: Identifier, devices: Sequence[Device]) -> None:
    """Set one identifier of one of *devices*, none of which is mounted.

    Raises EngineError, naming the kind, for what cannot be set, and with the tool's output when it
    fails.
    """
    require_form(identifier)
    seen = _seen(appliance, devices)
    if identified.has(identifier, seen):
        return
    if why := unsettable(appliance, identifier, devices):
        raise EngineError(f"{printable(identifier.device)}: {identifier.kind} not set: {why}")
    if identifier.kind in identified.TABLE_KINDS:
        _set_in_table(appliance, identified.find(identifier.device, devices), identifier, devices)
    elif identifier.kind is IdentifierKind.MD_UUID:
        members = identified.sharing(identified.find(identifier.device, seen), seen)
        names = {member.name for member in members}
        with restarted(appliance, [d.node for d in devices if d.name in names]):
            identified.write(identifier, members)
    elif identified.is_bytes(identifier, seen):
        identified.write(identifier, seen)
        if identifier.kind is IdentifierKind.BTRFS_DEVICE_UUID:
            _scan(appliance, identified.find(identifier.device, devices))
    else:
        _set_with_tools(appliance, identified.find(identifier.device, devices), identifier.value)


def _of(device: Device) -> Iterator[Identifier]:
    uuid = device.tags.get("UUID", "")
    if uuid:
        kind = type_of(device.type).identifier
        yield Identifier(kind, device.name, _array(uuid) if kind == "md-uuid" else uuid)
    if device.type == "btrfs" and "UUID_SUB" in device.tags:
        yield Identifier(IdentifierKind.BTRFS_DEVICE_UUID, device.name, device.tags["UUID_SUB"])
    if device.tags.get("PART_ENTRY_SCHEME") == "gpt" and device.number:
        guid = device.tags.get("PART_ENTRY_UUID", "")
        yield Identifier(IdentifierKind.PARTITION_GUID, device.name, guid)
    table = device.tags.get("PTUUID", "")
    if table and not device.number and device.table in {"gpt", "dos"}:
        gpt = device.table == "gpt"
        kind = IdentifierKind.DISK_GUID if gpt else IdentifierKind.MBR_DISK_ID
        yield Identifier(kind, device.name, table)


def _array(uuid: str) -> str:
    """An MD UUID as mdadm spells it, four groups of eight digits, from the spelling of blkid."""
    digits = uuid.replace("-", "")
    return ":".join(digits[n : n + 8] for n in range(0, 32, 8))


# -- setting -------------------------------------------------------------------------------
def _set_in_table(
    appliance: Appliance, device: Device, identifier: Identifier, devices: Sequence[Device]
) -> None:
    if identifier.kind is IdentifierKind.MBR_DISK_ID:
        _Blocks(appliance, device).write(0x1B8, struct.pack("<I", int(identifier.value, 16)))
    elif identifier.kind is IdentifierKind.DISK_GUID:
        _tool(appliance, f"sfdisk --no-reread --disk-id {device.node} {identifier.value}")
    else:
        disk = next(d.node for d in devices if d.name == device.disk)
        place = f"{disk} {device.number}"
        _tool(appliance, f"sfdisk --no-reread --part-uuid {place} {identifier.value}")


def _set_with_tools(appliance: Appliance, device: Device, value: str) -> None:
    kind = type_of(device.type)
    if kind.commands_need_mount:
        mount = mount_command(kind, device.node, _MOUNT_POINT)
        _tool(appliance, f"{mount} && umount {_MOUNT_POINT}")
    seen = _Seen(appliance, device)
    commands = identified.commands(seen, device.node, value)
    output = _tool(appliance, "".join(map(_script, commands)))
    found = identified.read(seen)
    if found != value.lower():  # xfs_admin exits with 0 without having done anything
        raise EngineError(f"{device.name}: the UUID is still {found}: {output}")
    _scan(appliance, device)


def _scan(appliance: Appliance, device: Device) -> None:
    """Have the kernel scan again: it has the devices of some file systems by old UUIDs."""
    if scan := " ".join(type_of(device.type).device_scan):
        _tool(appliance, f"sync; {scan} --forget && {scan}")


def _script(command: Command) -> str:
    ok = "|".join(map(str, command.ok))
    return f"{' '.join(command.argv)}; case $? in {ok}) ;; *) exit 1;; esac; "


def _tool(appliance: Appliance, script: str) -> str:
    # Some tools (tune2fs) report errors on stdout: for the message of the exception.
    output = appliance.shell(f"exec 2>&1 </dev/null; {script}", limit=_LIMIT)
    return printable(" ".join(output.decode("utf-8", "replace").split()))


# -- bytes ---------------------------------------------------------------------------------
def _seen(appliance: Appliance, devices: Sequence[Device]) -> Sequence[_Seen]:
    return [_Seen(appliance, device) for device in devices]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A device as an :class:`unclone.images.blocks.BlockDevice`."""

    appliance: Appliance
    device: Device

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def type(self) -> str:
        return self.device.type

    def open(self) -> _Blocks:
        return _Blocks(self.appliance, self.device)


class _Blocks:
    """The bytes of a device in the appliance."""

    def __init__(self, appliance: Appliance, device: Device) -> None:
        self._appliance = appliance
        self._device = device
        self.size = device.size

    def read(self, offset: int, count: int) -> bytes:
        pread = self._appliance.binding.pread_device
        parts: list[bytes] = []
        end = min(offset + count, self.size)
        while offset < end:
            length = min(end - offset, _MESSAGE)
            part = self._appliance.call(partial(pread, self._device.name, length, offset))
            if not part:
                break
            parts.append(bytes(part))
            offset += len(part)
        return b"".join(parts)

    def write(self, offset: int, content: bytes) -> None:
        pwrite = self._appliance.binding.pwrite_device
        done = 0
        while done < len(content):
            part, at = content[done : done + _MESSAGE], offset + done
            count = self._appliance.call(partial(pwrite, self._device.name, part, at))
            if count <= 0:
                raise EngineError(f"{self._device.name}: cannot be written at byte {at}")
            done += count

    def close(self) -> None:
        """Nothing to do."""
