"""Reserving disk space, so that a commit does not run out of it.

Before the commit marker is written, the most that the commit can need is allocated in a file; the
file is removed when the marker has been written.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.images.files import explained, open_private
from unclone.images.formats.header import Format
from unclone.images.overlay import allocated
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from unclone.images.image import Image

_KIB, _MIB = 1024, 1024 * 1024
_UNIT = 64 * _KIB  # the overlay's clusters


def needed(overlay: Path, image: Image) -> int:
    """The most bytes by which committing *overlay* can make the files of *image* grow."""
    unit = max(image.cluster_size, _UNIT)
    # The bytes that one qcow2 L2 table maps; with snapshots each changed table is copied.
    reach = unit * (max(image.cluster_size, 512) // 16)
    units = tables = 0
    last_unit = last_table = -1
    for start, length in allocated(overlay):
        end = start + length - 1
        units += end // unit - max(start // unit, last_unit + 1) + 1
        tables += end // reach - max(start // reach, last_table + 1) + 1
        last_unit, last_table = end // unit, end // reach
    growth = units * unit + tables * unit + _MIB
    if image.format is Format.QCOW2:
        return growth
    # Without snapshots and compression a file is no larger than its disk and some metadata.
    full = image.virtual_size
    if image.cluster_size:
        full += image.virtual_size // 100 + 16 * _MIB
    present = sum(name.stat().st_blocks * 512 for name in image.names)
    return min(growth, max(full - present, 0))


@contextmanager
def reserved(wanted: Iterable[tuple[Image, int, Path]]) -> Iterator[None]:
    """Reserve space until the end of the block, for each (image, bytes, file to allocate).

    Raises UncloneError when there is not enough.
    """
    with ExitStack() as stack:
        for image, size, path in wanted:
            stack.enter_context(_reserve(image, size, path))
        yield


@contextmanager
def _reserve(image: Image, size: int, path: Path) -> Iterator[None]:
    path.unlink(missing_ok=True)
    with explained("reserve space for the commit", path.parent):
        descriptor = open_private(path)
    try:
        _fill(image, size, path, descriptor)
        yield
    finally:
        path.unlink(missing_ok=True)


def _fill(image: Image, size: int, path: Path, descriptor: int) -> None:
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise UncloneError(
            f"not enough space to change {shown(image.path)}: up to {-(-size // _MIB)} MiB are "
            f"needed in {shown(path.parent)} ({error.strerror})",
            hint="Free some space there, or use --output FILE on another file system.",
        ) from error
    finally:
        os.close(descriptor)
