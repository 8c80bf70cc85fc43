"""U-Boot's legacy image: a header with two checksums around a script, an initrd or a kernel.

``boot.scr`` is a text inside such an image, ``uInitrd`` an initrd. Both can be changed once both
checksums are made again.

References: U-Boot include/image.h (struct legacy_img_hdr, IH_TYPE_*, IH_COMP_*);
tools/mkimage.c and boot/image.c (scripts and multi-file images: a table of big-endian sizes that
ends with zero, then the files).
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = 0x27051956
HEADER_SIZE = 64

_HEADER = struct.Struct(">7I4B32s")
_U32 = struct.Struct(">I")
_HEADER_CRC_AT, _SIZE_AT, _DATA_CRC_AT = 4, 12, 24
_UNCOMPRESSED = 0


class ImageType(IntEnum):
    """What is inside, as far as it matters here."""

    OTHER = 0
    RAMDISK = 3
    SCRIPT = 6


class UImage(NamedTuple):
    """A legacy image. ``intact`` when both checksums are right: U-Boot refuses others."""

    type: ImageType
    name: str
    payload: bytes
    intact: bool
    compressed: bool

    @property
    def script(self) -> bytes | None:
        """The text of a script; None when this is not one."""
        if self.type is not ImageType.SCRIPT or len(self.payload) < 2 * _U32.size:
            return None
        (size,) = _U32.unpack_from(self.payload)
        return self.payload[2 * _U32.size :][:size]


def kind(header: bytes) -> ImageType:
    """What the image is that begins so; OTHER for what is no image, too."""
    if len(header) < HEADER_SIZE or _U32.unpack_from(header)[0] != MAGIC:
        return ImageType.OTHER
    found = _HEADER.unpack_from(header)[9]
    return ImageType(found) if found in set(ImageType) else ImageType.OTHER


def parse(data: bytes) -> UImage | None:
    """The image *data*; None when it is not a legacy image, or is cut off."""
    if len(data) < HEADER_SIZE:
        return None
    magic, header_crc, _, size, _, _, data_crc, _, _, kind, packing, name = _HEADER.unpack_from(
        data
    )
    payload = data[HEADER_SIZE : HEADER_SIZE + size]
    if magic != MAGIC or len(payload) < size:
        return None
    known = {member.value for member in ImageType}
    return UImage(
        type=ImageType(kind) if kind in known else ImageType.OTHER,
        name=name.split(b"\0", 1)[0].decode("latin-1"),
        payload=payload,
        intact=header_crc == _header_crc(data) and data_crc == zlib.crc32(payload),
        compressed=packing != _UNCOMPRESSED,
    )


def rewritten(data: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    """The script image *data* with its text passed through *rewrite*; both checksums made again.

    The length must stay. Raises ``RefusedError`` for anything but an intact script.
    """
    image = parse(data)
    script = image.script if image is not None else None
    if image is None or script is None or image.compressed:
        raise RefusedError("this is not a U-Boot script image")
    if not image.intact:
        raise RefusedError(
            "the checksums of the U-Boot script are wrong: U-Boot would not run it",
            "Make it again with mkimage in the guest.",
        )
    changed = rewrite(script)
    if len(changed) != len(script):
        raise RefusedError("the U-Boot script would change its length")
    table = image.payload[: 2 * _U32.size]
    return with_payload(data, table + changed + image.payload[len(table) + len(script) :])


def with_payload(data: bytes, payload: bytes) -> bytes:
    """The image *data* around another payload (a corrected initrd): size and checksums follow."""
    header = bytearray(data[:HEADER_SIZE])
    (size,) = _U32.unpack_from(header, _SIZE_AT)
    _U32.pack_into(header, _SIZE_AT, len(payload))
    _U32.pack_into(header, _DATA_CRC_AT, zlib.crc32(payload))
    _U32.pack_into(header, _HEADER_CRC_AT, _header_crc(bytes(header)))
    return bytes(header) + payload + data[HEADER_SIZE + size :]


def _header_crc(data: bytes) -> int:
    """CRC-32 of the header with its own field blank."""
    header = bytearray(data[:HEADER_SIZE])
    _U32.pack_into(header, _HEADER_CRC_AT, 0)
    return zlib.crc32(header)
