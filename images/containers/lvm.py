"""Logical volumes on the host: linear and striped ones, from the metadata text of their group.

Each other kind is left closed: what is written to the origin of a snapshot, to a mirror or to a
cached volume also has to be written elsewhere.

References: LVM2 2.03 ``lib/format_text/export.c``, ``lib/striped/striped.c``; Linux
``Documentation/admin-guide/device-mapper/striped.rst``.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from unclone.images.containers.volume import Mapped, Piece, Volume
from unclone.images.identifiers import lvm
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.containers.volume import Member
    from unclone.images.identifiers.lvm import PhysicalVolume, VolumeGroup
    from unclone.images.identifiers.lvm_text import Group, LogicalVolume, Segment

_SECTOR = 512


def open_groups(devices: Sequence[Member]) -> tuple[list[Volume], dict[str, str]]:
    """The volumes of all groups on *devices*, and what stays closed: its name, and the reason."""
    members = {device.name: device for device in devices}
    found = {}
    for name, device in members.items():
        with closing(device.open()) as blocks:
            found[name] = lvm.read(blocks)
    physical = {name: volume for name, volume in found.items() if volume}
    closed = {name: "its LVM label is damaged" for name in members if name not in physical}
    groups = lvm.groups(physical)
    opened: list[Volume] = []
    for group in groups:
        volumes, left = open_group(group, physical, members)
        if [other.name for other in groups].count(group.name) > 1:
            volumes, left = [], [(n, "two volume groups have the same name") for n in group.members]
        opened += volumes
        closed |= dict(left)
    in_groups = {name for group in groups for name in group.members}
    # Without metadata it belongs to no group, or to one whose other members are missing.
    for name, volume in physical.items():
        if volume.damage and name not in in_groups:
            closed[name] = volume.damage
    return opened, closed


def open_group(
    group: VolumeGroup, volumes: Mapping[str, PhysicalVolume], members: Mapping[str, Member]
) -> tuple[Sequence[Volume], Sequence[tuple[str, str]]]:
    """The volumes of *group*, and the name of each that stays closed with the reason.

    *volumes* and *members* are by the names of the group's devices.
    """
    if group.unsettable:
        return [], [(name, group.unsettable) for name in group.members]
    opened, closed = [], []
    devices = {volumes[name].uuid: name for name in group.members}
    sizes = {name: _size(members[name]) for name in group.members}
    secret = any(isinstance(m := members[n], Volume) and m.secret for n in group.members)
    with_snapshots = {*group.snapshots, *group.snapshots.values()}
    for volume in group.text.volumes:
        if not volume.is_visible:
            continue  # a part of another volume
        name = f"/dev/{group.name}/{volume.name}"
        why = _why_not(volume, group.text)
        if volume.name in with_snapshots:
            why = "is a snapshot or has one"
        pieces = [] if why else list(_pieces(group, volume, devices))
        if any(at + p.size // len(p.places) > sizes[d] for p in pieces for d, at in p.places):
            why = "lies beyond the end of a device"
        if why or not pieces:
            closed.append((name, f"the logical volume {printable(name)} {why or 'is empty'}"))
            continue
        mapper = "LVM-" + f"{group.uuid}{volume.uuid}".replace("-", "")
        opener = partial(Mapped, pieces, {n: members[n] for n in group.members})
        size = pieces[-1].start + pieces[-1].size
        opened.append(Volume(name, size, mapper, pieces, secret, opener=opener))
    return opened, closed


def _size(member: Member) -> int:
    blocks = member.open()
    try:
        return blocks.size
    finally:
        blocks.close()


def _why_not(volume: LogicalVolume, group: Group) -> str:
    kinds = sorted({segment.kind for segment in volume.segments} - {"striped"})
    if kinds:
        return f"is of a kind that only LVM opens ({printable(', '.join(kinds))})"
    if volume.odd_flags:
        return f"has flags that only LVM obeys ({printable(', '.join(volume.odd_flags))})"
    position = 0
    for segment in volume.segments:
        if segment.start != position or not _is_sane(segment, group):
            return "has segments that are not understood"
        position += segment.count
    return ""


def _is_sane(segment: Segment, group: Group) -> bool:
    width, chunk = len(segment.stripes), segment.stripe_size
    if width == 0 or any(uuid not in group.starts for uuid, _ in segment.stripes):
        return False
    if width > 1 and (chunk == 0 or group.extent_size % chunk or segment.count % width):
        return False
    return segment.count > 0


def _pieces(
    group: VolumeGroup, volume: LogicalVolume, devices: Mapping[str, str]
) -> Iterator[Piece]:
    extent = group.text.extent_size * _SECTOR
    for segment in volume.segments:
        size = segment.count * extent
        places = tuple(
            (devices[uuid], group.text.starts[uuid] * _SECTOR + first * extent)
            for uuid, first in segment.stripes
        )
        chunk = segment.stripe_size * _SECTOR if len(places) > 1 else size
        yield Piece(segment.start * extent, size, places, chunk)
