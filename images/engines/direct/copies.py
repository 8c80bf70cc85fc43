"""Sparse copies of a device as a file, for the tools of its file system.

A copy has the whole device, or only some areas of it: then the rest is zeros, and a tool must not
write there.
"""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from unclone.images.blocks import Blocks

#: Bytes that are copied, and compared, at once.
_PIECE = 1024 * 1024
#: Bytes that are written back at least; areas are extended to this unit.
_UNIT = 4096


def merged(areas: Iterable[tuple[int, int]], size: int) -> Sequence[tuple[int, int]]:
    """Start and end of *areas* (offsets and sizes) in order, none of them overlapping."""
    found: list[tuple[int, int]] = []
    for offset, count in sorted(areas):
        start, end = offset // _UNIT * _UNIT, min(-(-(offset + count) // _UNIT) * _UNIT, size)
        if start < 0 or start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def make(
    blocks: Blocks, target: Path, areas: Sequence[tuple[int, int]], most: int | None = None
) -> None:
    """Fill the empty file *target* with the merged *areas* of *blocks*.

    Raises OSError, and EngineError when more than *most* bytes are not zeros.
    """
    written = 0
    with target.open("r+b") as file:
        file.truncate(blocks.size)
        for start, end in _pieces(areas):
            content = blocks.read(start, end - start)
            if content.count(0) != len(content):
                written += len(content)
                if most is not None and written > most:
                    raise EngineError(
                        f"a copy in memory of more than {most >> 20} MiB would be needed",
                        hint="Use --engine guestfs.",
                    )
                file.seek(start)
                file.write(content)


def write_back(copy: Path, blocks: Blocks, areas: Sequence[tuple[int, int]]) -> None:
    """Write what a tool changed in *areas* of the file *copy* to *blocks*.

    Raises EngineError, with nothing written, when it changed something beside them.
    """
    with copy.open("rb") as file:
        gaps = list(pairwise([0, *(edge for area in areas for edge in area), blocks.size]))[::2]
        if any(_has_content(file, start, end) for start, end in gaps):
            raise EngineError("a tool changed a part of a file system that it had not been given")
        for start, end in _pieces(areas):
            file.seek(start)
            new, old = file.read(end - start), blocks.read(start, end - start)
            if new == old:
                continue
            for at in range(0, len(old), _UNIT):
                if new[at : at + _UNIT] != old[at : at + _UNIT]:
                    blocks.write(start + at, new[at : at + _UNIT])


def _pieces(areas: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, end in areas:
        for at in range(start, end, _PIECE):
            yield at, min(at + _PIECE, end)


def _has_content(file: BinaryIO, start: int, end: int) -> bool:
    """Whether anything but zeros is between the offsets *start* and *end*."""
    while start < end:
        try:
            start = os.lseek(file.fileno(), start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole follows
                return False
            raise
        if start >= end:
            return False
        content = os.pread(file.fileno(), min(_PIECE, end - start), start)
        if content.count(0) != len(content):
            return True
        start += len(content) or _PIECE
    return False
