"""The formats whose content can be overwritten at rest, by blkid's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from unclone.images.engines.direct.in_place import btrfs, xfs
from unclone.images.engines.direct.in_place.logical_volumes import obstacle
from unclone.images.engines.direct.in_place.tree import parsed
from unclone.images.file_systems import btrfs_uuid, xfs_uuid
from unclone.images.identifiers.containers import LVM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.engines.direct.devices import Device
    from unclone.images.engines.direct.in_place.tree import Format


class InPlace(NamedTuple):
    """What can be done with a volume of one format; all raise EngineError."""

    open: Callable[[Blocks], Format[Any]]
    #: What is there that cannot be opened even when it was unmounted; "" when it can.
    unsupported: Callable[[Blocks], str]
    #: Whether it was unmounted, so that nothing has to be replayed.
    is_clean: Callable[[Blocks], bool]
    set_uuid: Callable[[Blocks, str], None]


FORMATS: Mapping[str, InPlace] = {
    name: InPlace(parsed(form), parsed(of.unsupported), parsed(of.is_clean), parsed(of.set_uuid))
    for name, form, of in (("btrfs", btrfs.Btrfs, btrfs_uuid), ("xfs", xfs.Xfs, xfs_uuid))
}


def beyond_reach(
    devices: Sequence[Device], formats: Mapping[str, InPlace], *, clean: bool
) -> Sequence[str]:
    """What cannot be opened; LVM only where there are *formats*.

    Without *clean*: not even after a kernel has unmounted it.
    """
    found = [(device.name, _why(device, devices, formats, clean=clean)) for device in devices]
    return [f"{name} holds {why}" for name, why in found if why]


def _why(
    device: Device, devices: Sequence[Device], formats: Mapping[str, InPlace], *, clean: bool
) -> str:
    if form := formats.get(device.type):
        why = form.unsupported(device.open())
        is_ready = why or not clean or form.is_clean(device.open())
        return why if is_ready else f"{device.type} that was not unmounted"
    if formats and device.type in LVM.names:
        return obstacle(devices)
    return device.content.beyond
