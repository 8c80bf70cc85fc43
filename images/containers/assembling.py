"""Opening every container of a guest, also those inside of each other."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.containers.luks import Unlocked, luks_name, open_container, unlock
from unclone.images.containers.lvm import open_groups
from unclone.images.containers.md import open_arrays
from unclone.images.containers.volume import with_name
from unclone.images.errors import RefusedError
from unclone.images.identifiers import luks
from unclone.images.identifiers.containers import LUKS, LVM, MD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from unclone.images.blocks import BlockDevice
    from unclone.images.containers.volume import Volume

    #: As :data:`unclone.images.engines.engine.Keys`.
    Keys = Callable[[str], Iterable[bytes]]

#: Levels of containers inside of each other.
_DEEPEST = 8


class Assembled(NamedTuple):
    """The volumes in the containers of a guest, and what cannot be opened here: name and reason."""

    volumes: Sequence[Volume]
    closed: Sequence[tuple[str, str]]

    @property
    def reasons(self) -> Sequence[str]:
        """What is closed, each with its reason, as one text."""
        return [with_name(name, why) for name, why in self.closed]


def assemble(
    devices: Sequence[BlockDevice], keys: Keys, unlocked: dict[str, Unlocked] | None = None
) -> Assembled:
    """Open every container on *devices*, and on what is in those.

    *unlocked* has, by device, the LUKS containers that were opened before, which need no key and
    keep their names; the others are added. Raises EngineError, and RefusedError for LUKS that none
    of *keys* opens.
    """
    unlocked = {} if unlocked is None else unlocked
    volumes: list[Volume] = []
    locked: dict[str, str] = {}
    types: dict[str, str] = {}
    for _ in range(_DEEPEST):
        seen = [*devices, *volumes]
        types |= {device.name: device.type for device in seen if device.name not in types}
        opened, closed = open_groups([d for d in seen if types[d.name] in LVM.names])
        arrays, apart = open_arrays([d for d in seen if types[d.name] in MD.names])
        opened += arrays
        closed |= apart
        for name, what in _opened(seen, types, keys, unlocked):
            if isinstance(what, str):
                locked[name] = what
            else:
                opened.append(what)
        known = {volume.name for volume in volumes}
        new = [volume for volume in opened if volume.name not in known]
        if not new:
            return Assembled(volumes, [*locked.items(), *closed.items()])
        volumes += new
    raise RefusedError(f"containers are inside of each other, more than {_DEEPEST} levels")


def _opened(
    devices: Sequence[BlockDevice],
    types: dict[str, str],
    keys: Keys,
    unlocked: dict[str, Unlocked],
) -> Iterator[tuple[str, Volume | str]]:
    """Each LUKS container that was not opened before, with its content or why it is closed.

    *types* is changed: a container is tried once.
    """
    taken = {device.name for device in devices}
    for device in [one for one in devices if types[one.name] in LUKS.names]:
        types[device.name] = ""
        if device.name not in unlocked:
            with closing(device.open()) as blocks:
                name = luks_name(device.name, luks.read(blocks), taken)
            key = unlock(device, keys)
            if isinstance(key, str):
                yield device.name, key
                continue
            unlocked[device.name] = Unlocked(name, key)
        taken.add(f"/dev/mapper/{unlocked[device.name].name}")
        yield device.name, open_container(device, unlocked[device.name])
