"""Swap areas: the UUID is in the header, which has no checksum.

References: Linux ``include/linux/swap.h`` (``union swap_header``), ``kernel/power/swap.c`` (the
signatures of a hibernated system); mkswap(8).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from unclone.images.blocks import read_exactly
from unclone.images.errors import EngineError
from unclone.images.file_systems.file_system_type import FileSystemType
from unclone.images.volumes import IdentifierKind

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

_PAGES = (4096, 8192, 16384, 32768, 65536)
_HIBERNATED = {b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"}
_VERSION, _UUID, _LABEL = 1024, 1036, 1052


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is none."""
    raw = read_exactly(blocks, _UUID, 16)
    return str(uuid.UUID(bytes=raw)) if any(raw) and _signature(blocks) else ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    signature = _signature(blocks)
    if signature in _HIBERNATED:
        return "it holds a hibernated system, which the next boot resumes"
    return "" if signature else "there is no swap area on it"


def write(blocks: Blocks, value: str) -> None:
    """Set the UUID. Raises EngineError."""
    if why := unsettable(blocks):
        raise EngineError(why)
    blocks.write(_UUID, uuid.UUID(value).bytes)


def _signature(blocks: Blocks) -> bytes:
    head = blocks.read(0, _PAGES[-1])
    for page in _PAGES:
        magic = head[page - 10 : page]
        if magic in _HIBERNATED:
            return magic
        if magic == b"SWAPSPACE2" and head[_VERSION : _VERSION + 4] in {
            b"\x01\0\0\0",
            b"\0\0\0\x01",
        }:
            return magic
    return b""


def _detect(blocks: Blocks) -> str:
    signature = _signature(blocks)
    return "swsuspend" if signature in _HIBERNATED else "swap" if signature else ""


def _label(blocks: Blocks) -> str:
    name = blocks.read(_LABEL, 16).split(b"\0")[0] if _signature(blocks) else b""
    return name.decode("utf-8", "surrogateescape")


TYPE = FileSystemType(
    ("swap", "swsuspend"),
    detect=_detect,
    label=_label,
    identifier=IdentifierKind.SWAP_UUID,
    read=read,
    unsettable=unsettable,
    write=write,
)
