"""Logical volumes of LVM2 that are one piece of one disk, as devices.

References: LVM2 2.03 ``lib/format_text/export.c`` (segments; the first extent is at ``pe_start``);
``lib/activate/dev_manager.c`` (the UUID of a mapping).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.engines.direct.devices import Device
from unclone.images.engines.direct.probing import probe
from unclone.images.identifiers import lvm
from unclone.images.identifiers.containers import LVM
from unclone.images.text import printable

_SECTOR = 512

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.identifiers.lvm_text import Group, LogicalVolume


def logical_volumes(devices: Sequence[Device]) -> Sequence[Device]:
    """The volumes of the groups on *devices*, without those that :func:`obstacle` is about."""
    members = _members(devices)
    found = []
    for group in _groups(members):
        for volume in group.volumes:
            piece = _piece(group, volume, members) if volume.is_visible else None
            if piece is not None:
                holder, start, size = piece
                content = probe(BlockFile(holder.disk, start, size))
                mapper = f"LVM-{group.uuid}{volume.uuid}".replace("-", "").replace("LVM", "LVM-", 1)
                name = f"/dev/{group.name}/{volume.name}"
                found.append(Device(name, holder.disk, start, size, content, mapper_uuid=mapper))
    return found


def obstacle(devices: Sequence[Device]) -> str:
    """What of LVM on *devices* is not supported, or ""."""
    members = _members(devices)
    for found in lvm.groups({device.name: volume for device, volume in members.values()}):
        if found.unsettable or found.snapshots:
            return f"LVM: {found.unsettable or 'snapshots'}"
    for device in devices:
        if device.type in LVM.names and not any(device is held for held, _ in members.values()):
            return "LVM whose metadata cannot be read"
    for group in _groups(members):
        for volume in group.volumes:
            if volume.is_visible and _piece(group, volume, members) is None:
                return f"LVM whose volume {printable(volume.name)} is not one piece of a disk"
    return ""


def _members(devices: Sequence[Device]) -> Mapping[str, tuple[Device, lvm.PhysicalVolume]]:
    """The physical volumes, by UUID."""
    found = {}
    for device in devices:
        if device.type in LVM.names:
            with closing(device.open()) as blocks:
                volume = lvm.read(blocks)
            if volume is not None and not volume.damage:
                found[volume.uuid] = device, volume
    return found


def _groups(members: Mapping[str, tuple[Device, lvm.PhysicalVolume]]) -> Sequence[Group]:
    """The newest description of each group."""
    newest: dict[str, Group] = {}
    for _, volume in members.values():
        group = volume.group
        if group and (group.uuid not in newest or newest[group.uuid].number < group.number):
            newest[group.uuid] = group
    return [group for _, group in sorted(newest.items())]


def _piece(
    group: Group, volume: LogicalVolume, members: Mapping[str, tuple[Device, lvm.PhysicalVolume]]
) -> tuple[Device, int, int] | None:
    """The physical volume, and the start and size on its disk in bytes."""
    if volume.odd_flags or not volume.segments:
        return None
    holder, first, count = "", 0, 0
    for segment in volume.segments:
        if segment.kind != "striped" or len(segment.stripes) != 1 or segment.start != count:
            return None
        member, extent = segment.stripes[0]
        if not count:
            holder, first = member, extent
        if (member, extent) != (holder, first + count):
            return None
        count += segment.count
    if holder not in members or holder not in group.starts:
        return None
    device, _ = members[holder]
    start = (group.starts[holder] + first * group.extent_size) * _SECTOR
    size = count * group.extent_size * _SECTOR
    if start + size > device.size:
        return None
    return device, device.start + start, size
