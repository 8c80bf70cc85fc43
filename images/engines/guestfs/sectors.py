"""How large the sectors of a drive are, which only its GPT says: its header is in the second.

Firmware and kernel read a table for sectors of another size as none at all.

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
    """Bytes: 4096 where the GPT is for such sectors, else 512.

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
