"""U-Boot's environment as it lies in a file: a checksum, then ``name=value`` texts.

A board with two of them has a flag behind each checksum, which says which one is newer. Nothing
in the file says so, nor which end of the checksum comes first: it is what makes the checksum right.

References: U-Boot include/env_internal.h (``struct environment_s``), env/common.c
(``env_import``, ``env_export``), tools/env/fw_env.c; tools/env/fw_env.config (path, offset, size).
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ORDERS = ("<I", ">I")
#: Bytes before the texts: the checksum, and the flag where there is one.
_HEADERS = (4, 5)
#: A board has no more than two; the rest of a hostile file is not looked at.
_MOST = 16
_LINE = re.compile(
    r"(?m)^[ \t]*(?P<path>/\S+)[ \t]+(?P<at>0x[0-9a-fA-F]+|[0-9]+)"
    r"[ \t]+(?P<size>0x[0-9a-fA-F]+|[0-9]+)"
)


class Place(NamedTuple):
    """Where an environment is: a path, and the part of what is there, in bytes."""

    path: str
    offset: int
    size: int


def places(config: str) -> Iterator[Place]:
    """What ``fw_env.config`` says."""
    for _, match in zip(range(_MOST), _LINE.finditer(config), strict=False):
        yield Place(match["path"], int(match["at"], 0), int(match["size"], 0))


def is_intact(content: bytes) -> bool:
    """Whether U-Boot takes *content*, the whole of an environment."""
    return _form(content) is not None


def rewritten(content: bytes, rewrite: Callable[[bytes], bytes]) -> bytes | None:
    """*content* with its texts passed through *rewrite*, and the checksum made again.

    None when it is no environment that U-Boot takes, or when its length would change.
    """
    form = _form(content)
    if form is None:
        return None
    order, header = form
    texts = rewrite(content[header:])
    if header + len(texts) != len(content):
        return None
    return struct.pack(order, zlib.crc32(texts)) + content[4:header] + texts


def _form(content: bytes) -> tuple[str, int] | None:
    """How the checksum is written, and where the texts begin."""
    for header in _HEADERS if len(content) > max(_HEADERS) else ():
        checksum = zlib.crc32(content[header:])
        for order in _ORDERS:
            if struct.unpack_from(order, content)[0] == checksum:
                return order, header
    return None
