"""MD arrays on the host: RAID1 with all of its members, in sync. Each write goes to every member.

References: Linux ``include/uapi/linux/raid/md_p.h`` (``struct mdp_superblock_1``), md(4).
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from unclone.images.containers.volume import Mapped, Piece, Volume
from unclone.images.identifiers import md

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.containers.volume import Member

_ARRAY = "is a member of an MD array, which only a kernel can open"
#: As the kernel numbers arrays that have no name here: downwards.
_FIRST = 127


def open_arrays(devices: Sequence[Member]) -> tuple[Sequence[Volume], dict[str, str]]:
    """The arrays on *devices*, and what stays closed: its name, and the reason."""
    arrays: dict[str, list[tuple[Member, md.Mirror]]] = {}
    closed = {}
    for device in devices:
        with closing(device.open()) as blocks:
            found = md.mirror(blocks)
            if not md.read(blocks):
                closed[device.name] = _ARRAY
            elif isinstance(found, str):
                closed[device.name] = f"{_ARRAY}: {found}"
            else:
                arrays.setdefault(found.array, []).append((device, found))
    opened: list[Volume] = []
    for members in arrays.values():
        _, first = members[0]
        complete = sorted(one.role for _, one in members) == list(range(first.members))
        alike = {(one.members, one.size, one.events) for _, one in members}
        if not complete or len(alike) > 1:
            why = f"{_ARRAY}: not all of its {first.members} members are there and in sync"
            closed |= {device.name: why for device, _ in members}
            continue
        places = [(device, one.start) for device, one in members]
        opened.append(
            Volume(
                f"/dev/md{_FIRST - len(opened)}",
                first.size,
                secret=any(isinstance(device, Volume) and device.secret for device, _ in members),
                opener=partial(_Mirrored, places, first.size),
            )
        )
    return opened, closed


class _Mirrored:
    """*size* bytes that each of *places*, a device and a byte offset there, has."""

    def __init__(self, places: Sequence[tuple[Member, int]], size: int) -> None:
        self.size = size
        with ExitStack() as stack:
            self._copies = []
            for device, start in places:
                whole = Piece(0, size, ((device.name, start),), size)
                copy = Mapped([whole], {device.name: device})
                self._copies.append(stack.enter_context(closing(copy)))
            self._stack = stack.pop_all()

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*; fewer at the end."""
        return self._copies[0].read(offset, count)

    def write(self, offset: int, content: bytes) -> None:
        """Write all of *content* at *offset*, to every member."""
        for copy in self._copies:
            copy.write(offset, content)

    def close(self) -> None:
        """Close the members."""
        self._stack.close()
