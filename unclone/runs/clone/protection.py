"""What machines have as backing files loses its permission to write."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from unclone.images.chain import read_chain

if TYPE_CHECKING:
    from unclone.runs.clone.order import Order


def protect(order: Order) -> None:
    """Take the permission to write from the golden image and the files that it stands on.

    A change of any of them would break the overlays.
    """
    chains = [read_chain(d.path, d.format, allow=order.request.allow) for d in order.request.disks]
    for named in {path for chain in chains for image in chain.chain for path in image.files}:
        path = named.resolve()
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o222 and os.access(path, os.W_OK):
            try:
                path.chmod(mode & ~0o222)
            except OSError:
                continue  # another's file: then they take care of it
