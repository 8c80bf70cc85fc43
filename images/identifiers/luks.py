"""LUKS1 and LUKS2: the UUID is text in the header; LUKS2 has two headers with checksums.

No key is derived from the UUID.

References: "LUKS On-Disk Format Specification" 1.2.3, "LUKS2 On-Disk Format Specification" 1.1.1,
2.1 and 2.4; cryptsetup 2.6 ``lib/luks2/luks2_disk_metadata.c``.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError
from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

_UUID, _UUID_END = 168, 208
_CHECKSUM, _CHECKSUM_END = 448, 512
_BINARY = 4096
#: Sizes that the specification allows for one header with its JSON area.
_SIZES = {0x4000 << n for n in range(9)}
_FIRST, _SECOND = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
_HASHES = {"sha1", "sha256", "sha512"}


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is none."""
    raw = read_exactly(blocks, 0, 512)
    if not raw.startswith(_FIRST):
        return ""
    text = raw[_UUID:_UUID_END].split(b"\0")[0].decode("ascii", "replace")
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    raw = read_exactly(blocks, 0, 512)
    if not raw.startswith(_FIRST):
        return "there is no LUKS header on it"
    version = number(raw, 6, ">H")
    if version == 1:
        return ""
    if version != 2:
        return f"it is LUKS version {version}, which is not known"
    size = number(raw, 8, ">Q")
    if size not in _SIZES:
        return "its LUKS2 header is damaged"
    for offset, magic, which in ((0, _FIRST, "first"), (size, _SECOND, "second")):
        if not _sound(read_exactly(blocks, offset, size), magic, offset):
            return f"the {which} of its two LUKS2 headers is damaged (cryptsetup repair)"
    return _requirement(read_exactly(blocks, _BINARY, size - _BINARY))


def write(blocks: Blocks, value: str) -> None:
    """Set the UUID, in both headers of LUKS2. Raises EngineError."""
    if why := unsettable(blocks):
        raise EngineError(why)
    raw = read_exactly(blocks, 0, 512)
    field = value.lower().encode("ascii").ljust(_UUID_END - _UUID, b"\0")
    if number(raw, 6, ">H") == 1:
        blocks.write(_UUID, field)
        return
    size = number(raw, 8, ">Q")
    for offset in (size, 0):
        header = bytearray(read_exactly(blocks, offset, size))
        header[_UUID:_UUID_END] = field
        header[_CHECKSUM:_CHECKSUM_END] = _checksum(header)
        blocks.write(offset, bytes(header[:512]))


def _sound(header: bytes, magic: bytes, offset: int) -> bool:
    return (
        header.startswith(magic)
        and number(header, 6, ">H") == 2
        and number(header, 256, ">Q") == offset
        and _algorithm(header) in _HASHES
        and header[_CHECKSUM:_CHECKSUM_END] == _checksum(header)
    )


def _checksum(header: bytes | bytearray) -> bytes:
    blank = bytearray(header)
    blank[_CHECKSUM:_CHECKSUM_END] = bytes(_CHECKSUM_END - _CHECKSUM)
    import hashlib  # noqa: PLC0415 (slow to load)

    digest = hashlib.new(_algorithm(header), blank, usedforsecurity=False).digest()
    return digest.ljust(_CHECKSUM_END - _CHECKSUM, b"\0")


def _algorithm(header: bytes | bytearray) -> str:
    return bytes(header[72:104]).split(b"\0")[0].decode("ascii", "replace")


def _requirement(area: bytes) -> str:
    """Why the requirements in the JSON *area* forbid a change; "" when they do not."""
    try:
        config = json.loads(area.split(b"\0")[0])["config"]
        mandatory = config.get("requirements", {}).get("mandatory", [])
        named = [str(requirement) for requirement in mandatory]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its LUKS2 header is damaged"
    if any("reencrypt" in name for name in named):
        return (
            f"its reencryption is not finished ({printable(', '.join(named))}); finish that first"
        )
    return ""
