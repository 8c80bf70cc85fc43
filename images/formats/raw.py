"""A raw image: no header at all, the file is the disk.

References: QEMU ``block/raw-format.c``. The virtual size is the file's, rounded up to a sector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.formats.header import SECTOR, Format, Header

if TYPE_CHECKING:
    from unclone.images.formats.header import Source


def read_header(source: Source) -> Header:
    """The header a raw image does not have."""
    return Header(Format.RAW, virtual_size=-(-source.size // SECTOR) * SECTOR)
