"""Access to the bytes of a disk, a partition or an opened container."""

from __future__ import annotations

import struct
from typing import NamedTuple, Protocol


class Blocks(Protocol):
    """One disk or partition; offsets and sizes are bytes."""

    size: int

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*; fewer at the end."""

    def write(self, offset: int, content: bytes) -> None:
        """Write all of *content* at *offset*."""


class OpenBlocks(Blocks, Protocol):
    """Blocks that the caller has to close."""

    def close(self) -> None:
        """Close the device."""


class BlockDevice(Protocol):
    """A disk, a partition, or what is inside a container."""

    @property
    def name(self) -> str:
        """The name of the device in the engine session (``/dev/sda1``)."""

    @property
    def type(self) -> str:
        """The type of its content, as blkid names it."""

    def open(self) -> OpenBlocks:
        """Open the device; the caller closes it."""


class Command(NamedTuple):
    """A program that changes a file system, and the exit statuses that mean success."""

    argv: tuple[str, ...]
    ok: tuple[int, ...] = (0,)


def number(raw: bytes | bytearray, offset: int, form: str) -> int:
    """The number at byte *offset* of *raw*; *form* is a :mod:`struct` format of one field."""
    value: int = struct.unpack_from(form, raw, offset)[0]
    return value


def read_exactly(blocks: Blocks, offset: int, count: int) -> bytes:
    """*count* bytes at *offset*, or b"" when the device ends before that."""
    raw = blocks.read(offset, count)
    return raw if len(raw) == count else b""
