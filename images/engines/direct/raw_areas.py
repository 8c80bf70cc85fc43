"""The bytes of devices that no file system or container accounts for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.engines.direct.disks import Disks
from unclone.images.file_systems.table import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.engine import Drive

#: Types whose content is neither files nor another device that is read.
RAW_TYPES = frozenset({UNKNOWN, "bcache", "stratis", "vdo", "DM_integrity", "zfs_member"})

#: Bytes that are read at the start and at the end of a device, and of all of a guest.
START, END, LIMIT = 1024 * 1024, 64 * 1024, 16 * 1024 * 1024
#: Bytes that are read at the end of a device of another type: what is below its file system may
#: have its metadata there.
TAIL = 4096


class RawArea(NamedTuple):
    """``start`` is the first bytes of *device* and ``end`` the last, which ``start`` has not.

    Of a device that holds files or another device only the end is read.
    """

    device: str
    type: str
    size: int
    start: bytes
    end: bytes

    @property
    def is_raw(self) -> bool:
        """Whether nothing else reads what the device holds."""
        return self.type in RAW_TYPES


def raw_areas(drives: Sequence[Drive]) -> Iterator[RawArea]:
    """The devices on *drives*, as long as the limit lasts. Raises OSError and UncloneError."""
    disks = Disks(drives, scratch=False)
    left = LIMIT
    try:
        for device in disks.devices():
            if not device.is_mountable:
                continue
            blocks = device.open()
            is_raw = device.type in RAW_TYPES
            start = blocks.read(0, min(START, left)) if is_raw else b""
            last = max(len(start), device.size - (END if is_raw else TAIL))
            end = blocks.read(last, min(device.size - last, left - len(start)))
            left -= len(start) + len(end)
            yield RawArea(device.name, device.type, device.size, start, end)
    finally:
        disks.drop()
