"""What an identifier is read from and written to: the bytes of one device."""

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
