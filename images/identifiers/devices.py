"""The identifiers of all devices of a guest, also those that devices share.

An array, a volume group and a btrfs on several devices have one identifier: it can be set only when
all devices are present, and is set on all of them.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Protocol, TypeVar

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

#: Why an identifier of :data:`TABLE_KINDS` cannot be set.
NO_TABLE = "there is no partition table that holds it"

#: Kinds in partition tables, which the engines read and write themselves.
TABLE_KINDS = frozenset(
    {IdentifierKind.PARTITION_GUID, IdentifierKind.DISK_GUID, IdentifierKind.MBR_DISK_ID}
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


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
    """Whether the device has *identifier* already, perhaps because it is shared."""
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
    """Whether :func:`write` sets *identifier*, not :func:`commands`."""
    if identifier.kind in _LVM_KINDS or identifier.kind is IdentifierKind.BTRFS_DEVICE_UUID:
        return True
    return type_of(find(identifier.device, devices).type).write is not None


def write(identifier: Identifier, devices: Sequence[BlockDevice]) -> None:
    """Write *identifier* to all devices that share it. Raises EngineError."""
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
        raise EngineError(f"{printable(device.name)}: only a tool sets its {identifier.kind}")
    for member in sharing(device, devices):
        with closing(member.open()) as blocks:
            write_one(blocks, identifier.value)


def commands(device: BlockDevice, target: str, value: str) -> Sequence[Command]:
    """The commands that set the UUID of the file system on *device*, a file named *target*."""
    kind = type_of(device.type)
    if kind.commands is None:
        raise EngineError(f"{printable(device.name)}: no tool sets the UUID of '{kind.names[0]}'")
    with closing(device.open()) as blocks:
        return kind.commands(blocks, target, value)


def sharing(device: BlockDevice, devices: Sequence[BlockDevice]) -> Sequence[BlockDevice]:
    """All members of the array or btrfs of *device*; else only *device*."""
    if not type_of(device.type).spans_devices:
        return [device]
    mine = read(device)
    return [d for d in devices if d.type == device.type and read(d) == mine]


def find(name: str, devices: Sequence[_N]) -> _N:
    """The device called *name*. Raises EngineError when there is none."""
    for device in devices:
        if device.name == name:
            return device
    raise EngineError(f"the guest has no device {printable(name)}")


def read(device: BlockDevice) -> str:
    """The identifier of what is on *device*; "" when there is none."""
    with closing(device.open()) as blocks:
        return type_of(device.type).read(blocks)
