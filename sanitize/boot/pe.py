"""Just enough of PE/COFF to find one section of a unified kernel image, and a signature.

References: Microsoft, "PE Format" (COFF file header, optional header data directories, section
table); UAPI Group, "Unified Kernel Image" specification (section ``.cmdline``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Bytes from the start of a file that hold its headers.
HEADER_LIMIT = 64 * 1024

_COFF_HEADER = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_CERTIFICATE_TABLE = 4
#: Where the data directories begin in the optional header, by its magic: PE32, PE32+.
_DIRECTORIES = {0x10B: 96, 0x20B: 112}


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section's bytes are in the file."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """The layout of a PE file. ``signed`` means that it carries an Authenticode table."""

    sections: Mapping[str, Section]
    signed: bool


def parse(head: bytes) -> Image | None:
    """The layout described by the first bytes of a file; None when it is not a PE file."""
    try:
        return _parse(head)
    except struct.error:  # truncated: hostile or damaged, in any case not bootable
        return None


def _parse(head: bytes) -> Image | None:
    if head[:2] != b"MZ":
        return None
    (start,) = struct.unpack_from("<I", head, 0x3C)
    magic, _, count, _, _, _, optional_size, _ = _COFF_HEADER.unpack_from(head, start)
    if magic != b"PE\0\0":
        return None
    optional = start + _COFF_HEADER.size
    table = optional + optional_size
    sections = {}
    for index in range(count):
        name, used, _, raw, offset, *_ = _SECTION.unpack_from(head, table + index * _SECTION.size)
        # The file may pad the section (raw > used); only what is used is its content.
        size = min(used, raw) if used else raw
        sections[name.rstrip(b"\0").decode("latin-1")] = Section(offset, size)
    return Image(sections, _is_signed(head, optional, optional_size))


def _is_signed(head: bytes, optional: int, optional_size: int) -> bool:
    (magic,) = struct.unpack_from("<H", head, optional)
    directories = _DIRECTORIES.get(magic)
    if directories is None or optional_size < directories + 8 * (_CERTIFICATE_TABLE + 1):
        return False
    entry = optional + directories + 8 * _CERTIFICATE_TABLE
    _, size = struct.unpack_from("<II", head, entry)
    return bool(size)
