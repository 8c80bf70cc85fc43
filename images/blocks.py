"""The bytes of one disk, partition or opened container, as identifiers and headers are read."""

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
        """Let go of the device."""


class BlockDevice(Protocol):
    """A disk, a partition, or what is inside a container."""

    @property
    def name(self) -> str:
        """Its name in the engine session."""

    @property
    def type(self) -> str:
        """What is on it, in blkid's word."""

    def open(self) -> OpenBlocks:
        """Its bytes."""


class Command(NamedTuple):
    """A program that changes a file system, and the exit statuses that are no failure."""

    argv: tuple[str, ...]
    ok: tuple[int, ...] = (0,)


def number(raw: bytes | bytearray, offset: int, form: str) -> int:
    """The number at *offset* of *raw*, in the form of :mod:`struct`."""
    value: int = struct.unpack_from(form, raw, offset)[0]
    return value


def read_exactly(blocks: Blocks, offset: int, count: int) -> bytes:
    """*count* bytes at *offset*, or nothing when the device ends before."""
    raw = blocks.read(offset, count)
    return raw if len(raw) == count else b""
