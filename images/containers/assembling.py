"""Opening every container of a guest, also those inside of each other."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.containers.luks import luks_name, open_container
from unclone.images.containers.lvm import open_group
from unclone.images.errors import RefusedError
from unclone.images.identifiers import luks, lvm
from unclone.images.identifiers.containers import LUKS, LVM, MD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unclone.images.blocks import BlockDevice
    from unclone.images.containers.volume import Volume

    #: As :data:`unclone.images.engines.engine.Keys`.
    Keys = Callable[[str], Iterable[bytes]]

_ARRAY = "is a member of an MD array, which only a kernel can open"
#: Levels of containers inside of each other.
_DEEPEST = 8


class Assembled(NamedTuple):
    """The volumes in the containers of a guest, and what cannot be opened here: name and reason."""

    volumes: Sequence[Volume]
    closed: Sequence[tuple[str, str]]


def assemble(devices: Sequence[BlockDevice], keys: Keys) -> Assembled:
    """Open every container on *devices*, and on what is in those.

    Raises EngineError, and RefusedError for LUKS that none of *keys* opens.
    """
    volumes: list[Volume] = []
    locked: dict[str, str] = {}
    types: dict[str, str] = {}
    for _ in range(_DEEPEST):
        seen = [*devices, *volumes]
        types |= {device.name: device.type for device in seen if device.name not in types}
        opened, closed = _open_groups([d for d in seen if types[d.name] in LVM.names])
        for name, what in _unlocked(seen, types, keys):
            if isinstance(what, str):
                locked[name] = what
            else:
                opened.append(what)
        locked |= {n: _ARRAY for n, held in types.items() if held in MD.names}
        known = {volume.name for volume in volumes}
        new = [volume for volume in opened if volume.name not in known]
        if not new:
            return Assembled(volumes, [*locked.items(), *closed.items()])
        volumes += new
    raise RefusedError(f"containers are inside of each other, more than {_DEEPEST} levels")


def _unlocked(
    devices: Sequence[BlockDevice], types: dict[str, str], keys: Keys
) -> Iterator[tuple[str, Volume | str]]:
    """Each LUKS container that was not opened before, with its content or why it is closed.

    *types* is changed: a container is tried once.
    """
    taken = {device.name for device in devices}
    for device in [one for one in devices if types[one.name] in LUKS.names]:
        with closing(device.open()) as blocks:
            name = luks_name(device.name, luks.read(blocks), taken)
        taken.add(f"/dev/mapper/{name}")
        yield device.name, open_container(device, name, keys)
        types[device.name] = ""


def _open_groups(devices: Sequence[BlockDevice]) -> tuple[list[Volume], dict[str, str]]:
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
