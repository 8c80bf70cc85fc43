"""What is built into a GRUB image: its prefix, its early configuration and its memory disk.

grub-mkimage puts modules, prefix and configuration (grub-install's ``load.cfg``) into one area
of the image. In an EFI image it is plain, in its section ``mods``. In the image for BIOS
(``core.img``, in the gap behind the MBR or in a BIOS boot partition) it is compressed with LZMA,
at an offset that differs from build to build: it is found by trying. What grub-install adds for
error correction comes behind all that and leaves it as it is.

References: GRUB 2.06 include/grub/kernel.h (grub_module_info32/64, grub_module_header, object
types), include/grub/offsets.h (GRUB_DECOMPRESSOR_I386_PC_COMPRESSED_SIZE and _UNCOMPRESSED_SIZE),
util/mkimage.c (compress_kernel_lzma: lc 3, lp 0, pb 2, no header), util/grub-install.c (prefix and
load.cfg), grub-core/lib/reed_solomon.c.
"""

from __future__ import annotations

import lzma
import re
import struct
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from unclone.sanitize.boot import pe

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where the section with modules, prefix and configuration is in a GRUB image for EFI.
EFI_SECTION = "mods"

#: The gap behind the MBR, or a BIOS boot partition, begins with the image; this is enough of it.
SECTORS_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GrubImage:
    """What is built into an image; texts are decoded as ASCII with surrogate escapes."""

    prefix: str
    config: str
    memdisk: bytes


def bios_image(data: bytes | memoryview) -> GrubImage | None:
    """Examine ``core.img``, or the sectors it was written to (with or without the MBR itself).

    None when there is no GRUB for BIOS in *data*.
    """
    view = memoryview(data)[:SECTORS_LIMIT]
    budget = _Budget()
    for start in range(0, len(view) - 2 * _SECTOR, _SECTOR):
        unpacked = _unpacked(view, start, budget)
        image = _modules(unpacked) if unpacked else None
        if image is not None:
            return image
    return None


def efi_image(data: bytes | memoryview, path: str = "") -> GrubImage | None:
    """Examine a GRUB image for EFI, the file at *path*; None for any other EFI program."""
    for section in pe.contents(data, EFI_SECTION, path):
        image = _modules(section)
        if image is not None:
            return image
    return None


# -- helpers -------------------------------------------------------------------------------
_SECTOR = 512
#: The decompressor begins with a far jump to 0000:82xx, over these fields.
_JUMP = re.compile(rb"\xea.[\x80-\x8f]\0\0", re.DOTALL)
_SIZES = struct.Struct("<II")
_SIZES_AT = 8
_DECOMPRESSOR_LIMIT = 16 * 1024
_COMPRESSED_LIMIT = SECTORS_LIMIT
_UNCOMPRESSED_LIMIT = 16 * 1024 * 1024
#: LZMA needs a dictionary as large as what it looks back at; this covers any image.
_FILTERS = [{"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": _UNCOMPRESSED_LIMIT}]

#: grub_module_info32 and 64: the magic, and the offset of the first module, always right behind.
_AREAS = (
    (struct.Struct("<4sII"), re.compile(rb"mimg\x0c\0\0\0")),
    (struct.Struct("<4s4xQQ"), re.compile(rb"mimg.{4}\x18\0{7}", re.DOTALL)),
)
_MODULE = struct.Struct("<II")
_MEMDISK, _CONFIG, _PREFIX = 1, 2, 3
#: What looks like an area, and modules in one: real images have one or two, and some hundred.
_AREAS_LIMIT, _PARTS_LIMIT = 64, 4096


@dataclass(slots=True)
class _Budget:
    """What trying may cost altogether; a real image takes some hundred attempts."""

    attempts: int = 8192
    output: int = 64 * 1024 * 1024


def _unpacked(view: memoryview, start: int, budget: _Budget) -> bytes | None:
    """The compressed part of an image that begins at *start*; None when none does."""
    decompressor = start + _SECTOR  # behind the sector that loads the rest
    if not _JUMP.match(view, decompressor):
        return None
    compressed, uncompressed = _SIZES.unpack_from(view, decompressor + _SIZES_AT)
    if not (0 < compressed <= _COMPRESSED_LIMIT and 0 < uncompressed <= _UNCOMPRESSED_LIMIT):
        return None
    area = view[decompressor : decompressor + _DECOMPRESSOR_LIMIT]
    for match in re.finditer(rb"\0", area):  # LZMA's range coder begins with a zero byte
        budget.attempts -= 1
        if budget.attempts < 0 or budget.output < 0:
            return None
        at = decompressor + match.start()
        unpacked = _lzma(view[at : at + compressed], uncompressed)
        budget.output -= len(unpacked)
        if len(unpacked) == uncompressed and b"mimg" in unpacked:
            return unpacked
    return None


def _lzma(packed: memoryview, size: int) -> bytes:
    """*size* bytes out of *packed*; fewer, or none, when it is not LZMA."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        return decompressor.decompress(packed, size)
    except lzma.LZMAError:
        return b""


def _modules(data: bytes | memoryview) -> GrubImage | None:
    """Prefix and configuration from the first module area in *data* that makes sense."""
    view = memoryview(data)
    for layout, pattern in _AREAS:
        for match in islice(pattern.finditer(view), _AREAS_LIMIT):
            if match.start() + layout.size > len(view):
                break
            _, offset, size = layout.unpack_from(view, match.start())
            area = view[match.start() + offset : match.start() + size]
            parts = dict(islice(_parts(area), _PARTS_LIMIT))
            if _PREFIX in parts:
                return GrubImage(
                    prefix=_text(parts[_PREFIX]),
                    config=_text(parts.get(_CONFIG, b"")),
                    memdisk=bytes(parts.get(_MEMDISK, b"")),
                )
    return None


def _parts(area: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + _MODULE.size <= len(area):
        kind, size = _MODULE.unpack_from(area, at)
        if size < _MODULE.size or at + size > len(area):
            return
        yield kind, area[at + _MODULE.size : at + size]
        at += size


def _text(raw: bytes | memoryview) -> str:
    return bytes(raw).split(b"\0", 1)[0].decode("ascii", "surrogateescape")
