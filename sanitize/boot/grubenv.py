"""GRUB's environment block: a text of fixed size that GRUB itself overwrites in place.

The file is ``# GRUB Environment Block`` and ``name=value`` lines, filled with ``#`` up to its
size (1024 bytes). GRUB writes to the file's sectors without knowing the file system, so the size
must never change.

References: GRUB manual, "Environment block"; grub-core/lib/envblk.c (GRUB 2.06).
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def refit(text: str, size: int) -> str:
    """*text* with its filling cut or grown so that it takes *size* bytes again.

    Raises ``OSError(ENOSPC)`` when the variables no longer fit, as grub-editenv refuses too.
    """
    used = text.rstrip("#")
    missing = size - len(used.encode("utf-8", "surrogateescape"))
    if missing < 0:
        raise OSError(errno.ENOSPC, f"the GRUB environment block would not fit into {size} bytes")
    return used + "#" * missing


def variables(text: str) -> Mapping[str, str]:
    """The variables of a block; values as they stand in the file."""
    return dict(re.findall(r"(?m)^([A-Za-z_][A-Za-z0-9_]*)=([^\n]*)$", text))
