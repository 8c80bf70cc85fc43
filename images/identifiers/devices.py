"""The identifiers of the devices of a guest, and what devices share.

An array, a volume group and a btrfs on several devices are one thing with one identifier: it is
settable only when all of them are there, and set on all of them.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError
from unclone.images.file_systems.table import type_of
from unclone.images.identifiers import btrfs_device
from unclone.images.identifiers.containers import LVM
from unclone.images.text import printable
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.blocks import BlockDevice, Command

_LVM_KINDS = {IdentifierKind.LVM_PV_UUID, IdentifierKind.LVM_VG_UUID}

_BTRFS = "btrfs"

#: Kinds that belong to partition tables, which engines look after themselves.
TABLE_KINDS = frozenset(
    {IdentifierKind.PARTITION_GUID, IdentifierKind.DISK_GUID, IdentifierKind.MBR_DISK_ID}
)


def volume_groups(devices: Sequence[BlockDevice]) -> Sequence[Identifier]:
    """The UUIDs of the volume groups on *devices*; a group's device is ``/dev/NAME``."""
    if all(device.type not in LVM.names for device in devices):
        return ()
    from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

    return lvm_devices.volume_groups(devices)


def volume_snapshots(devices: Sequence[BlockDevice]) -> Mapping[str, str]:
    """As ``Volumes.volume_snapshots``."""
    if all(device.type not in LVM.names for device in devices):
        return {}
    from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

    return lvm_devices.snapshots(devices)


def unsettable(identifier: Identifier, devices: Sequence[BlockDevice]) -> str:
    """As ``Volumes.unsettable``, for what is not in a partition table."""
    if identifier.kind in _LVM_KINDS:
        from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

        return lvm_devices.unsettable(identifier, devices)
    device = find(identifier.device, devices)
    kind = type_of(device.type)
    if identifier.kind is IdentifierKind.BTRFS_DEVICE_UUID and device.type == _BTRFS:
        with closing(device.open()) as blocks:
            return printable(btrfs_device.unsettable(blocks))
    if kind.identifier is not identifier.kind:
        return f"there is no {identifier.kind} on it ({printable(device.type)})"
    with closing(device.open()) as blocks:
        if why := kind.why_unsettable(blocks):
            return printable(why)
        wanted = kind.devices(blocks) if kind.devices else 0
    if wanted and (present := len(sharing(device, devices))) != wanted:
        return f"only {present} of its {wanted} devices are there"
    return ""


def has(identifier: Identifier, devices: Sequence[BlockDevice]) -> bool:
    """Whether a device has it already: it may have been set where it is shared."""
    if identifier.kind is IdentifierKind.BTRFS_DEVICE_UUID:
        with closing(find(identifier.device, devices).open()) as blocks:
            return btrfs_device.read(blocks) == identifier.value.lower()
    for device in devices:
        if device.name == identifier.device and type_of(device.type).identifier is identifier.kind:
            found = read(device)
            if identifier.kind is IdentifierKind.LVM_PV_UUID:  # the only one with case
                return found == identifier.value
            return found.lower() == identifier.value.lower()
    return False


def is_bytes(identifier: Identifier, devices: Sequence[BlockDevice]) -> bool:
    """Whether :func:`write` sets it, rather than :func:`commands`."""
    if identifier.kind in _LVM_KINDS or identifier.kind is IdentifierKind.BTRFS_DEVICE_UUID:
        return True
    return type_of(find(identifier.device, devices).type).write is not None


def write(identifier: Identifier, devices: Sequence[BlockDevice]) -> None:
    """Set what is a few bytes in headers, on all devices that share it."""
    if identifier.kind in _LVM_KINDS:
        from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

        lvm_devices.write(identifier, devices)
        return
    device = find(identifier.device, devices)
    if identifier.kind is IdentifierKind.BTRFS_DEVICE_UUID:
        with closing(device.open()) as blocks:
            btrfs_device.write(blocks, identifier.value)
        return
    write_one = type_of(device.type).write
    if write_one is None:
        raise EngineError(f"{printable(device.name)}: it takes a tool to set its {identifier.kind}")
    for member in sharing(device, devices):
        with closing(member.open()) as blocks:
            write_one(blocks, identifier.value)


def commands(device: BlockDevice, target: str, value: str) -> Sequence[Command]:
    """What sets the UUID of the file system on *device*, which the tools know as *target*."""
    kind = type_of(device.type)
    if kind.commands is None:
        raise EngineError(f"{printable(device.name)}: no tool sets the UUID of '{kind.names[0]}'")
    with closing(device.open()) as blocks:
        return kind.commands(blocks, target, value)


def sharing(device: BlockDevice, devices: Sequence[BlockDevice]) -> Sequence[BlockDevice]:
    """The members of the array or btrfs that *device* is one of; else just *device*."""
    if not type_of(device.type).spans_devices:
        return [device]
    mine = read(device)
    return [d for d in devices if d.type == device.type and read(d) == mine]


def find(name: str, devices: Sequence[BlockDevice]) -> BlockDevice:
    """The device called *name*. Raises EngineError when there is none."""
    for device in devices:
        if device.name == name:
            return device
    raise EngineError(f"the guest has no device {printable(name)}")


def read(device: BlockDevice) -> str:
    """The identifier of what is on *device*; "" when there is none."""
    with closing(device.open()) as blocks:
        return type_of(device.type).read(blocks)
