"""A raw image: it has no header, and the file is the disk.

References: QEMU ``block/raw-format.c``. The virtual size is the file's, rounded up to a sector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.formats.header import SECTOR, Format, Header

if TYPE_CHECKING:
    from unclone.images.formats.header import Source


def read_header(source: Source) -> Header:
    """The facts about a raw image, which follow from its size."""
    return Header(Format.RAW, virtual_size=-(-source.size // SECTOR) * SECTOR)
