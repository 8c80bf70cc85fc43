"""Logical volumes of LVM2 that are one piece of one disk, as devices."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from unclone.images.containers.lvm import open_groups
from unclone.images.containers.volume import with_name
from unclone.images.engines.direct.devices import Device
from unclone.images.engines.direct.probing import probe
from unclone.images.identifiers.containers import LVM
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.containers.volume import Volume


def logical_volumes(devices: Sequence[Device]) -> Sequence[Device]:
    """The volumes of the groups on *devices*, without those that :func:`obstacle` is about."""
    volumes, _ = open_groups(_physical(devices))
    found = [_as_device(volume, devices) for volume in volumes]
    return [device for device in found if device]


def obstacle(devices: Sequence[Device]) -> str:
    """What of LVM on *devices* is not supported, or ""."""
    volumes, closed = open_groups(_physical(devices))
    for name, why in closed.items():
        return f"LVM: {with_name(name, why)}"
    for volume in volumes:
        if _as_device(volume, devices) is None:
            return f"LVM whose volume {printable(volume.name)} is not one piece of a disk"
    return ""


def _physical(devices: Sequence[Device]) -> Sequence[Device]:
    return [device for device in devices if device.type in LVM.names]


def _as_device(volume: Volume, devices: Sequence[Device]) -> Device | None:
    """*volume* as a part of a disk, when it is one."""
    holder, at = volume.pieces[0].places[0]
    if any(piece.places != ((holder, at + piece.start),) for piece in volume.pieces):
        return None
    (device,) = [each for each in devices if each.name == holder]
    with closing(volume.open()) as blocks:
        content = probe(blocks)
    start, mapper = device.start + at, volume.mapper_uuid
    return Device(volume.name, device.disk, start, volume.size, content, mapper_uuid=mapper)
