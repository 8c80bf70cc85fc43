"""Just enough of PE/COFF to read the sections of an EFI program, and to patch an unsigned one.

What is patched keeps its length, so nothing in the file moves. A signed program is never changed:
its signature covers every section. The initrd inside a unified kernel image (``.initrd``) can be
read like any other, and not be corrected: a correction is appended, and a section cannot grow.

References: Microsoft, "PE Format" (COFF file header, optional header, data directories, section
table; the checksum is that of ImageHlp's CheckSumMappedFile); UAPI Group, "Unified Kernel Image"
specification (sections ``.cmdline``, ``.initrd``, ``.pcrsig``, and ``.profile``, after which
sections of the same name come again); systemd-stub(7).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Bytes from the start of a file that hold its headers.
HEADER_LIMIT = 64 * 1024

_COFF_HEADER = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_CERTIFICATE_TABLE = 4
#: From the start of the optional header, PE32 and PE32+ alike.
_CHECKSUM = 64
_U32 = struct.Struct("<I")
#: Where the data directories begin in the optional header, by its magic: PE32, PE32+.
_DIRECTORIES = {0x10B: 96, 0x20B: 112}


class Section(NamedTuple):
    """Where a section's bytes are in the file."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Image:
    """The layout of a PE file. ``signed`` means that it carries an Authenticode table.

    ``sections`` has the first of each name; ``all_sections`` has them in file order, and may
    have a name several times (profiles of a unified kernel image).
    """

    sections: Mapping[str, Section]
    signed: bool
    all_sections: tuple[tuple[str, Section], ...]
    checksum_at: int

    @property
    def has_pcr_signature(self) -> bool:
        """Secrets may be sealed to what this image measures: a change locks them."""
        return ".pcrsig" in self.sections


def parse(head: bytes) -> Image | None:
    """The layout described by the first bytes of a file; None when it is not a PE file."""
    try:
        return _parse(head)
    except struct.error:  # truncated: hostile or damaged, in any case not bootable
        return None


def contents(data: bytes | memoryview, name: str, path: str = "") -> Iterator[memoryview]:
    """What each section called *name* holds. Nothing for a file that is not a PE file.

    Raises ``RefusedError``, with the *path* of the file, where they take more bytes than it has: a
    hostile file may name the same bytes a thousand times.
    """
    view = memoryview(data)
    image = parse(bytes(view[:HEADER_LIMIT]))
    left = len(view)
    for found, section in image.all_sections if image else ():
        if found == name:
            content = view[section.offset : section.offset + section.size]
            left -= len(content)
            if left < 0:
                raise RefusedError(
                    f"the sections {name} of the EFI program {printable(path)} overlap",
                    "Build it again in the guest, or remove it there.",
                )
            yield content


def patched(data: bytes | memoryview, name: str, rewrite: Callable[[bytes], bytes]) -> bytes:
    """The PE file *data* with every section called *name* passed through *rewrite*.

    The checksum is made good if the file has one. Raises ``RefusedError`` for a signed file, and
    where the rewritten section would have another length.
    """
    image = parse(bytes(data[:HEADER_LIMIT]))
    if image is None:
        raise RefusedError("this is not a PE file")
    if image.signed:
        raise RefusedError(
            "the EFI program is signed, and any change would void the signature",
            "Rebuild and sign it in the guest, or keep the identifiers it names.",
        )
    result = bytearray(data)
    for found, section in image.all_sections:
        if found != name:
            continue
        where = slice(section.offset, section.offset + section.size)
        before = bytes(result[where])
        after = rewrite(before)
        if len(after) != len(before):
            raise RefusedError(
                f"section {name} of the EFI program would change its length",
                "Rebuild it in the guest.",
            )
        result[where] = after
    if result != bytearray(data) and _U32.unpack_from(result, image.checksum_at) != (0,):
        _U32.pack_into(result, image.checksum_at, checksum(result, image.checksum_at))
    return bytes(result)


def checksum(data: bytes | bytearray, checksum_at: int) -> int:
    """The checksum *data* should have in its optional header, at *checksum_at*."""
    blank = bytearray(data)
    _U32.pack_into(blank, checksum_at, 0)
    padded = bytes(blank) + bytes(-len(blank) % 2)
    # Adding 16-bit words and carrying what overflows back in is the remainder modulo 0xffff,
    # but for a sum that is a multiple of it, which stays 0xffff.
    total = sum(int.from_bytes(padded[at : at + 4096], "little") for at in _steps(len(padded)))
    folded = total % 0xFFFF or (0xFFFF if total else 0)
    return folded + len(data)


# -- helpers -------------------------------------------------------------------------------
def _steps(length: int) -> range:
    return range(0, length, 4096)


def _parse(head: bytes) -> Image | None:
    if head[:2] != b"MZ":
        return None
    (start,) = struct.unpack_from("<I", head, 0x3C)
    magic, _, count, _, _, _, optional_size, _ = _COFF_HEADER.unpack_from(head, start)
    if magic != b"PE\0\0":
        return None
    optional = start + _COFF_HEADER.size
    table = optional + optional_size
    sections = []
    for index in range(count):
        name, used, _, raw, offset, *_ = _SECTION.unpack_from(head, table + index * _SECTION.size)
        # The file may pad the section (raw > used); only what is used is its content.
        size = min(used, raw) if used else raw
        sections.append((name.rstrip(b"\0").decode("latin-1"), Section(offset, size)))
    _U32.unpack_from(head, optional + _CHECKSUM)
    return Image(
        sections=dict(reversed(sections)),
        signed=_is_signed(head, optional, optional_size),
        all_sections=tuple(sections),
        checksum_at=optional + _CHECKSUM,
    )


def _is_signed(head: bytes, optional: int, optional_size: int) -> bool:
    (magic,) = struct.unpack_from("<H", head, optional)
    directories = _DIRECTORIES.get(magic)
    if directories is None or optional_size < directories + 8 * (_CERTIFICATE_TABLE + 1):
        return False
    entry = optional + directories + 8 * _CERTIFICATE_TABLE
    _, size = struct.unpack_from("<II", head, entry)
    return bool(size)
