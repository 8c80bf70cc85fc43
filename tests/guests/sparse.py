"""Image files with holes, and copying them without filling the holes."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1024 * 1024


def sized(path: Path, mib: int) -> Path:
    """Make *path* a file of *mib* MiB that is one hole."""
    with path.open("wb") as handle:
        handle.truncate(mib * MIB)
    return path


def data_ranges(path: Path) -> Iterator[tuple[int, int]]:
    """The stretches of *path* that are no holes: first byte, and the one after the last."""
    with path.open("rb") as reader:
        end = os.fstat(reader.fileno()).st_size
        here = 0
        while here < end:
            try:
                begin = os.lseek(reader.fileno(), here, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole until the end
                return
            here = os.lseek(reader.fileno(), begin, os.SEEK_HOLE)
            yield begin, here


def copy_sparse(source: Path, target: Path, offset: int) -> None:
    """Copy *source* into *target* at byte *offset*, leaving holes where the source has holes."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        for begin, stop in data_ranges(source):
            here = begin
            while here < stop:
                chunk = os.pread(reader.fileno(), min(4 * MIB, stop - here), here)
                os.pwrite(writer.fileno(), chunk, offset + here)
                here += len(chunk)


def fill_used_blocks(image: Path) -> None:
    """Write zeros into the holes of an ext4 *image* that the file system counts on being zero.

    mke2fs leaves empty inode tables as holes. Where the holes are lost (inside an encrypted
    container) they would not read as zeros.
    """
    told = run(["dumpe2fs", image]).stdout.decode("utf-8", "replace")
    size = int(re.findall(r"^Block size:\s+(\d+)$", told, re.MULTILINE)[0])
    count = int(re.findall(r"^Block count:\s+(\d+)$", told, re.MULTILINE)[0])
    free = bytearray(count)
    for line in re.findall(r"^  Free blocks: (.*)$", told, re.MULTILINE):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", line):
            stop = int(last or first) + 1
            free[int(first) : stop] = b"\1" * (stop - int(first))
    with image.open("r+b") as handle:
        for block in re.finditer(rb"\0+", free):
            for number in range(*block.span()):
                content = os.pread(handle.fileno(), size, number * size)
                os.pwrite(handle.fileno(), content, number * size)
