"""The sector size of a drive, from the place of its GPT header, which is in the second sector.

With another sector size, firmware and kernel do not find the table.

Reference: UEFI 2.10, 5.3.2 (GPT Header, at LBA 1).
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from unclone.images.engines.direct.access.clusters import Clusters, UnreadableError
from unclone.images.engines.direct.access.layers import layers_of

if TYPE_CHECKING:
    from unclone.images.engines.engine import Drive

_SIZES = (512, 4096)
_SIGNATURE = b"EFI PART"


def sector_size(drive: Drive) -> int:
    """4096 bytes where the GPT header is at byte 4096, else 512.

    Also 512 for an image that only QEMU can read.
    """
    layers = layers_of(drive.image) if drive.image else ()
    if not drive.image or not layers or drive.image.virtual_size % _SIZES[-1]:
        return _SIZES[0]
    with suppress(UnreadableError, OSError), closing(Clusters(layers)) as disk:
        for size in _SIZES:
            if disk.read(size, len(_SIGNATURE)) == _SIGNATURE:
                return size
    return _SIZES[0]
