"""VMDK: the sparse extent header and the text descriptor.

References: VMware "Virtual Disk Format 5.0" (and 1.1): SparseExtentHeader, descriptor file; how
QEMU finds names in a descriptor: QEMU 7.2 ``block/vmdk.c`` (vmdk_parse_extents,
vmdk_parent_open). All numbers are little endian, sizes in sectors of 512 bytes.

QEMU scans the text with sscanf and strstr, which accept more than the specification: line breaks
for blanks, ``+8``, no blank before the type, no closing quote. A line that QEMU can take for an
extent and that is not read here is refused, so that QEMU opens no other file.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from unclone.images.formats.header import SECTOR, Extent, Format, Header

if TYPE_CHECKING:
    from unclone.images.formats.header import Source

MAGIC = b"KDMV"
MAGIC_ESX = b"COWD"  # the older sparse format of ESX
DESCRIPTOR = b"# Disk DescriptorFile"

# Magic, version, flags, capacity, grain size, descriptor offset and size, entries per grain
# table, redundant directory, directory, overhead, unclean, line ending test, compression.
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_COMPRESSED = 1 << 16
_AT_END = 0xFFFF_FFFF_FFFF_FFFF
_MAX_GRAIN = 0x20_0000
_MAX_DESCRIPTOR = 1024 * 1024
_DESCRIPTOR_AT = SECTOR
#: QEMU reads this much of an embedded descriptor, whatever the header says.
_EMBEDDED = 20 * SECTOR

_EXTENT = re.compile(
    r'(?<!\S)(\w+)\s+(-?[0-9]{1,18})\s+(\w+)\s+"([^"\r\n]*)"(?:\s+([0-9]{1,18})(?!\S))?(?!\S)'
)
#: Where QEMU begins to read an extent: the first word of a line.
_RW = re.compile(r"^[^\S\n]*(RW)(?!\S)", re.MULTILINE)
#: Bytes of a file name, as QEMU's ``%511[...]``.
_MAX_NAME = 511
_PARENT = "parentFileNameHint"
_TYPES = {
    "monolithicSparse",
    "monolithicFlat",
    "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat",
    "streamOptimized",
    "vmfs",
}
_ACCESS = {"RW", "RDONLY", "NOACCESS"}
_FLAT, _SPARSE = {"FLAT", "VMFS"}, {"SPARSE"}
_STREAM = "it is a streamOptimized (compressed) VMDK"


def read_header(source: Source) -> Header:
    """Read and check the header of a sparse file, or a descriptor. Raises RefusedError."""
    start = source.read(0, min(source.size, len(DESCRIPTOR)), "header")
    if start.startswith(MAGIC_ESX):
        raise source.unsupported("it is a sparse VMDK of an old ESX")
    if start.startswith(MAGIC):
        return _sparse(source)
    if start == DESCRIPTOR:
        return _described(source)
    raise source.unsound("it is neither a sparse VMDK nor a VMDK descriptor")


def _sparse(source: Source) -> Header:
    fields = _HEADER.unpack(source.read(0, _HEADER.size, "header"))
    _, version, flags, capacity, grain, text_at, text_size, entries = fields[:8]
    _, directory, overhead, _, _, compression = fields[8:]
    compressed = bool(compression or flags & _COMPRESSED)
    if version not in {1, 2, 3}:
        raise source.unsound(f"its version is {version}")
    if not capacity or capacity * SECTOR >= 1 << 63:
        # With a capacity of 0 QEMU would read the embedded descriptor as a file of its own.
        raise source.unsound(f"its virtual size is {capacity} sectors")
    if not 8 <= grain <= _MAX_GRAIN or grain & (grain - 1) or not 0 < entries <= 512:
        raise source.unsound(f"its grains are {grain} sectors, its grain tables {entries} entries")
    if directory != _AT_END:
        tables = -(-capacity // (grain * entries))
        source.require(directory * SECTOR, tables * 4, "grain directory")
        source.require(overhead * SECTOR, 0, "first grain")
    elif not compressed:
        raise source.unsound("its grain directory is missing")
    text = ""
    if text_at:
        if text_at * SECTOR != _DESCRIPTOR_AT or text_size * SECTOR > _MAX_DESCRIPTOR:
            raise source.unsound(f"its descriptor is at sector {text_at}")
        text = _text(source, _DESCRIPTOR_AT, max(text_size * SECTOR, _EMBEDDED))
    return Header(
        Format.VMDK,
        virtual_size=capacity * SECTOR,
        cluster_size=grain * SECTOR,
        variant="streamOptimized" if compressed else "monolithicSparse",
        backing=_parent(source, text),
        backing_format=Format.VMDK if _PARENT in text else "",
        unwritable=_STREAM if compressed else "",
    )


def _described(source: Source) -> Header:
    text = _text(source, 0, _MAX_DESCRIPTOR)
    created = re.search(r'^createType\s*=\s*"([^"\n]*)"', text, re.MULTILINE)
    variant = created.group(1) if created else ""
    if variant not in _TYPES:
        raise source.unsupported("its descriptor names a kind of VMDK that is unknown here")
    extents, sectors = [], 0
    found = list(_EXTENT.finditer(text))
    if {line.start(1) for line in _RW.finditer(text)} - {extent.start() for extent in found}:
        raise source.unsound("its descriptor has an extent line of an unusual form")
    for access, count, kind, name, offset in (extent.groups() for extent in found):
        if access not in _ACCESS:
            raise source.unsound("its descriptor has an extent line of unknown access")
        if access != "RW" or kind not in _FLAT | _SPARSE:
            raise source.unsupported("it has an extent that cannot be written (" + kind[:20] + ")")
        if int(count) <= 0:
            raise source.unsound("an extent has no sectors")
        if len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME:
            raise source.unsound("an extent has a name that is too long")
        sectors += int(count)
        if kind in _SPARSE:
            extents.append(Extent(name, Format.VMDK))
        else:
            extents.append(Extent(name, Format.RAW, (int(count) + int(offset or 0)) * SECTOR))
    if not extents:
        raise source.unsound("its descriptor names no extents")
    return Header(
        Format.VMDK,
        virtual_size=sectors * SECTOR,
        variant=variant,
        backing=_parent(source, text),
        backing_format=Format.VMDK if _PARENT in text else "",
        extents=tuple(extents),
        unwritable=_STREAM if variant == "streamOptimized" else "",
    )


def _text(source: Source, offset: int, limit: int) -> str:
    raw = source.read(offset, min(limit, max(0, source.size - offset)), "descriptor")
    return raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _parent(source: Source, text: str) -> str:
    # QEMU takes the first occurrence, wherever it is, and what follows '="'.
    _, found, rest = text.partition(_PARENT)
    if not found:
        return ""
    named = re.match(r'="([^"\r\n]+)"', rest)
    if not named or _PARENT in rest:
        raise source.unsound("its descriptor names its parent in an unusual way")
    return named.group(1)
