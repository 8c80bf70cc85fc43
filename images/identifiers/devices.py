"""Which module knows the identifier of a device, by what is on it; and what devices share.

An array, a volume group and a btrfs on several devices are one thing with one identifier: it is
settable only when all of them are there, and set on all of them.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from unclone.images.errors import EngineError
from unclone.images.identifiers import btrfs, exfat, ext, fat, luks, md, swap, xfs
from unclone.images.identifiers.blocks import Blocks
from unclone.images.text import printable
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.identifiers.blocks import Command


class OpenBlocks(Blocks, Protocol):
    """Blocks that somebody has to close."""

    def close(self) -> None:
        """Let go of the device."""


class Device(Protocol):
    """A disk, a partition, or what is inside a container."""

    @property
    def name(self) -> str:
        """Its name in the engine session."""

    @property
    def type(self) -> str:
        """What is on it, in blkid's word."""

    def open(self) -> OpenBlocks:
        """Its bytes."""


class _Bytes(Protocol):
    """A module whose identifier is a few bytes."""

    def read(self, blocks: Blocks) -> str: ...
    def unsettable(self, blocks: Blocks) -> str: ...
    def write(self, blocks: Blocks, value: str) -> None: ...


class _Tools(Protocol):
    """A module whose identifier a tool has to set."""

    def read(self, blocks: Blocks) -> str: ...
    def unsettable(self, blocks: Blocks) -> str: ...
    def commands(self, blocks: Blocks, target: str, value: str) -> Sequence[Command]: ...


#: By blkid's word.
_BYTES: Mapping[str, tuple[IdentifierKind, _Bytes]] = {
    "swap": (IdentifierKind.SWAP_UUID, swap),
    "swsuspend": (IdentifierKind.SWAP_UUID, swap),
    "vfat": (IdentifierKind.VFAT_SERIAL, fat),
    "exfat": (IdentifierKind.VFAT_SERIAL, exfat),
    "crypto_LUKS": (IdentifierKind.LUKS_UUID, luks),
    "linux_raid_member": (IdentifierKind.MD_UUID, md),
}
_TOOLS: Mapping[str, _Tools] = {
    **dict.fromkeys(("ext2", "ext3", "ext4"), ext),
    "xfs": xfs,
    "btrfs": btrfs,
}
LVM = "LVM2_member"
_LVM_KINDS = {IdentifierKind.LVM_PV_UUID, IdentifierKind.LVM_VG_UUID}

#: Kinds that belong to partition tables, which engines look after themselves.
TABLE_KINDS = frozenset(
    {IdentifierKind.PARTITION_GUID, IdentifierKind.DISK_GUID, IdentifierKind.MBR_DISK_ID}
)

_DECLINED = {
    "zfs_member": "a ZFS pool gets another identifier only while it is imported (zpool reguid)",
    "bcache": "a bcache and its cache name each other by their UUIDs",
    "bcachefs": "nothing can change the UUID of a bcachefs offline",
    "ntfs": "the boot configuration of Windows names it by its serial",
    "BitLocker": "it is encrypted by Windows",
    "f2fs": "nothing can change the UUID of an f2fs",
    "jbd": "it is the journal of another file system, which names it by its UUID",
    "DDF_raid_member": "it belongs to a RAID of the firmware",
    "ddf_raid_member": "it belongs to a RAID of the firmware",
    "isw_raid_member": "it belongs to a RAID of the firmware",
    "iso9660": "it is a read-only file system",
    "udf": "nothing can change the identifier of a UDF",
    "squashfs": "it is a read-only file system",
    "erofs": "it is a read-only file system",
}


def kind_of(content: str) -> IdentifierKind:
    """The kind of identifier that a device has on which blkid finds *content*."""
    if content == LVM:
        return IdentifierKind.LVM_PV_UUID
    return _BYTES[content][0] if content in _BYTES else IdentifierKind.FILE_SYSTEM_UUID


def read(content: str, blocks: Blocks) -> str:
    """The identifier of *blocks*, on which blkid finds *content*; "" when there is none."""
    if content in _BYTES:
        return _BYTES[content][1].read(blocks)
    if content == LVM:
        from unclone.images.identifiers import lvm  # noqa: PLC0415 (only some guests have it)

        volume = lvm.read(blocks)
        return volume.uuid if volume else ""
    return _TOOLS[content].read(blocks) if content in _TOOLS else ""


def volume_groups(devices: Sequence[Device]) -> Sequence[Identifier]:
    """The UUIDs of the volume groups on *devices*; a group's device is ``/dev/NAME``."""
    if all(device.type != LVM for device in devices):
        return ()
    from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

    return lvm_devices.volume_groups(devices)


def unsettable(identifier: Identifier, devices: Sequence[Device]) -> str:
    """As ``Volumes.unsettable``, for what is not in a partition table."""
    if identifier.kind in _LVM_KINDS:
        from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

        return lvm_devices.unsettable(identifier, devices)
    device = find(identifier.device, devices)
    if kind_of(device.type) is not identifier.kind:
        return f"there is no {identifier.kind} on it ({printable(device.type)})"
    with closing(device.open()) as blocks:
        if device.type in _BYTES:
            return _BYTES[device.type][1].unsettable(blocks)
        if device.type == "btrfs":
            return btrfs.unsettable(blocks, len(sharing(device, devices)))
        if device.type in _TOOLS:
            return _TOOLS[device.type].unsettable(blocks)
    if device.type in _DECLINED:
        return _DECLINED[device.type]
    return f"nothing here can change the identifier of '{printable(device.type)}'"


def has(identifier: Identifier, devices: Sequence[Device]) -> bool:
    """Whether a device has it already: it may have been set where it is shared."""
    for device in devices:
        if device.name == identifier.device and kind_of(device.type) is identifier.kind:
            found = _read(device)
            if identifier.kind is IdentifierKind.LVM_PV_UUID:  # the only one with case
                return found == identifier.value
            return found.lower() == identifier.value.lower()
    return False


def is_bytes(identifier: Identifier) -> bool:
    """Whether :func:`write` sets it, rather than :func:`commands`."""
    return identifier.kind is not IdentifierKind.FILE_SYSTEM_UUID


def write(identifier: Identifier, devices: Sequence[Device]) -> None:
    """Set what is a few bytes in headers, on all devices that share it."""
    if identifier.kind in _LVM_KINDS:
        from unclone.images.identifiers import lvm_devices  # noqa: PLC0415 (only some guests have it)

        lvm_devices.write(identifier, devices)
        return
    device = find(identifier.device, devices)
    for member in sharing(device, devices):
        with closing(member.open()) as blocks:
            _BYTES[device.type][1].write(blocks, identifier.value)


def commands(device: Device, target: str, value: str) -> Sequence[Command]:
    """What sets the UUID of the file system on *device*, which the tools know as *target*."""
    with closing(device.open()) as blocks:
        return _TOOLS[device.type].commands(blocks, target, value)


def sharing(device: Device, devices: Sequence[Device]) -> Sequence[Device]:
    """The members of the array or btrfs that *device* is one of; else just *device*."""
    if device.type not in {"linux_raid_member", "btrfs"}:
        return [device]
    mine = _read(device)
    return [d for d in devices if d.type == device.type and _read(d) == mine]


def find(name: str, devices: Sequence[Device]) -> Device:
    """The device called *name*. Raises EngineError when there is none."""
    for device in devices:
        if device.name == name:
            return device
    raise EngineError(f"the guest has no device {printable(name)}")


def _read(device: Device) -> str:
    with closing(device.open()) as blocks:
        return read(device.type, blocks)
