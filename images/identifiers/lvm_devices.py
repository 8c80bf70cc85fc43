"""Volume groups on the devices of a guest: :mod:`.lvm` needs all members at once."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from unclone.images.identifiers import lvm
from unclone.images.identifiers.containers import LVM
from unclone.images.text import printable
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.blocks import BlockDevice


def volume_groups(devices: Sequence[BlockDevice]) -> Sequence[Identifier]:
    """The UUIDs of the groups on *devices*; a group's device is ``/dev/NAME``."""
    return [
        Identifier(IdentifierKind.LVM_VG_UUID, f"/dev/{group.name}", group.uuid)
        for group in lvm.groups(_physical_volumes(devices))
    ]


def snapshots(devices: Sequence[BlockDevice]) -> Mapping[str, str]:
    """The logical volumes that are snapshots, and their origins, as ``/dev/GROUP/VOLUME``."""
    return {
        f"/dev/{group.name}/{name}": f"/dev/{group.name}/{origin}"
        for group in lvm.groups(_physical_volumes(devices))
        for name, origin in group.snapshots.items()
    }


def unsettable(identifier: Identifier, devices: Sequence[BlockDevice]) -> str:
    """As :meth:`unclone.images.volumes.Volumes.unsettable`."""
    volumes = _physical_volumes(devices)
    if identifier.kind is IdentifierKind.LVM_PV_UUID:
        if identifier.device not in volumes:
            held = [printable(d.type) for d in devices if d.name == identifier.device]
            return f"there is no {identifier.kind} on it ({', '.join(held) or 'no such device'})"
        return lvm.unsettable(volumes, identifier.device)
    found = [g for g in lvm.groups(volumes) if f"/dev/{g.name}" == identifier.device]
    if len(found) != 1:
        return f"there are {len(found)} volume groups of that name"
    return found[0].unsettable


def write(identifier: Identifier, devices: Sequence[BlockDevice]) -> None:
    """Set the UUID of a physical volume or of a group. Raises EngineError."""
    with ExitStack() as stack:
        members = [device for device in devices if device.type in LVM.names]
        opened = {d.name: stack.enter_context(closing(d.open())) for d in members}
        if identifier.kind is IdentifierKind.LVM_PV_UUID:
            lvm.set_physical_volume(opened, identifier.device, identifier.value)
        else:
            name = identifier.device.removeprefix("/dev/")
            lvm.set_volume_group(opened, name, identifier.value)


def _physical_volumes(devices: Sequence[BlockDevice]) -> Mapping[str, lvm.PhysicalVolume]:
    found = {}
    for device in devices:
        if device.type in LVM.names:
            with closing(device.open()) as blocks:
                found[device.name] = lvm.read(blocks)
    return {name: volume for name, volume in found.items() if volume}
