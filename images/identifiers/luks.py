"""LUKS1 and LUKS2: the UUID is text in the header; LUKS2 has two headers with checksums.

No key is derived from the UUID.

References: "LUKS On-Disk Format Specification" 1.2.3, "LUKS2 On-Disk Format Specification" 1.1.1,
2.1 and 2.4; cryptsetup 2.6 ``lib/luks2/luks2_disk_metadata.c``.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError, RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

_UUID, _UUID_END = 168, 208
_CHECKSUM, _CHECKSUM_END = 448, 512
_BINARY = 4096
#: Sizes that the specification allows for one header with its JSON area.
_SIZES = {0x4000 << n for n in range(9)}
_FIRST, _SECOND = b"LUKS\xba\xbe", b"SKUL\xba\xbe"
#: The only encryption of the data that can be opened here; its sectors.
_CIPHER, _SECTORS = "aes-xts-plain64", {512, 1024, 2048, 4096}
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


@dataclass(frozen=True, slots=True)
class Segment:
    """Where the data is and how it is encrypted; sizes are bytes, ``size`` is 0 up to the end."""

    version: int
    offset: int
    size: int
    sector: int
    #: Added to the number of a sector for its initialisation vector.
    tweak: int


def segment(blocks: Blocks) -> Segment | str:
    """The data of the container, encrypted with aes-xts-plain64; or why it is not supported."""
    raw = read_exactly(blocks, 0, 592)
    if not raw.startswith(_FIRST):
        return "there is no LUKS header on it"
    if number(raw, 6, ">H") == 1:
        cipher = "-".join(raw[at : at + 32].split(b"\0")[0].decode("latin-1") for at in (8, 40))
        found = Segment(1, number(raw, 104, ">I") * 512, 0, 512, 0)
        return found if cipher == _CIPHER else _other_cipher(cipher)
    if why := unsettable(blocks):
        return why
    area = read_exactly(blocks, _BINARY, number(raw, 8, ">Q") - _BINARY)
    try:
        tree = json.loads(area.split(b"\0")[0])
        ((_, only),) = tree["segments"].items()
        if tree["config"].get("requirements", {}).get("mandatory"):
            return "its LUKS2 header asks for something that is not known"
        if only["type"] != "crypt" or "integrity" in only or only.get("flags"):
            return "its data is not plain AES-XTS (integrity, or another segment)"
        if only["encryption"] != _CIPHER:
            return _other_cipher(str(only["encryption"]))
        size = 0 if only["size"] == "dynamic" else int(only["size"])
        found = Segment(
            2, int(only["offset"]), size, int(only["sector_size"]), int(only["iv_tweak"])
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its LUKS2 header has segments that are not known"
    sane = found.sector in _SECTORS and found.offset > 0 and found.size >= 0 and found.tweak >= 0
    return found if sane else "its LUKS2 header is damaged"


def _other_cipher(cipher: str) -> str:
    return f"its cipher is {printable(cipher)}, not {_CIPHER}"


def refusal(named: str, tried: int, reason: str) -> RefusedError:
    """The error for a container that none of *tried* keys opens."""
    if not tried:
        return RefusedError(
            f"{named.replace(' (', ' is encrypted (', 1)} and no key was given",
            hint="Give the passphrase with --key-file FILE, or start unclone on a terminal.",
        )
    return RefusedError(
        f"none of the {tried} keys opens {named}: {reason}",
        hint="A key file is used byte for byte, a newline at its end included.",
    )


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
