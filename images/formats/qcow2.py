"""The qcow2 header.

References: QEMU ``docs/interop/qcow2.txt`` (header, header extensions, L1 and refcount tables);
limits as in QEMU 7.2 ``block/qcow2.h`` (QCOW_MAX_L1_SIZE, QCOW_MAX_REFTABLE_SIZE,
QCOW_MAX_SNAPSHOTS). All numbers are big endian.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.formats.header import Extent, Format, Header
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from unclone.images.formats.header import Source

MAGIC = b"QFI\xfb"

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")  # bytes 0 to 71
_V3 = struct.Struct(">QQQII")  # bytes 72 to 103
_EXTENSION = struct.Struct(">II")

# incompatible_features
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2

# header extensions
_END = 0
BACKING_FORMAT = 0xE2792ACA
_DATA_FILE_NAME = 0x44415441
_ENCRYPTION = 0x0537BE77

_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00  # bits 9 to 55 of an L1 or refcount table entry
MAX_L1_BYTES = 32 * 1024 * 1024
_MAX_REFTABLE_BYTES = 8 * 1024 * 1024
_MAX_SNAPSHOTS = 65536
_MAX_NAME = 1023


class _Fields(NamedTuple):
    """The fields of the header by their names in the specification, without the magic."""

    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int
    incompatible_features: int = 0
    compatible_features: int = 0
    autoclear_features: int = 0
    refcount_order: int = 4
    header_length: int = 72

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits


def read_header(source: Source) -> Header:
    """Read and check the header. Raises RefusedError when it is invalid or not supported."""
    fields = _fields(source)
    _check_limits(source, fields)
    _check_tables(source, fields)
    extensions = dict(_extensions(source, fields))
    if fields.crypt_method or _ENCRYPTION in extensions:
        raise RefusedError(
            f"{source.name} is an encrypted qcow2 image",
            hint="Decrypt it first with qemu-img convert; encryption inside the guest (LUKS) "
            "is supported.",
        )
    return Header(
        format=Format.QCOW2,
        virtual_size=fields.size,
        cluster_size=fields.cluster_size,
        variant=f"v{fields.version}",
        backing=_backing(source, fields),
        backing_format=_text(source, extensions.get(BACKING_FORMAT, b""), "backing format"),
        extents=_data_file(source, fields, extensions),
        snapshots=fields.nb_snapshots,
        unclean=_unclean(fields.incompatible_features),
    )


def require_name(name: bytes, path: Path) -> None:
    """Raise RefusedError for a backing file *name*, made of *path*, that no header has room for."""
    if len(name) > _MAX_NAME:
        raise RefusedError(
            f"the path of {shown(path)} is too long for a qcow2 header",
            hint="Move the image to a shorter path.",
        )


def read_tables(source: Source) -> tuple[int, int, int] | None:
    """Cluster bits, L1 table offset and version of a header that :func:`read_header` accepts.

    None with subclusters (extended L2) or another compression type than deflate.
    """
    fields = _fields(source)
    if fields.incompatible_features & (_EXTENDED_L2 | _COMPRESSION):
        return None
    return fields.cluster_bits, fields.l1_table_offset, fields.version


def allocated(source: Source) -> Iterator[tuple[int, int]]:
    """Start and length in bytes of the areas that an image itself holds, in order.

    These are clusters of data and of zeros. *source* is an image that :func:`read_header` accepts,
    without extended L2 entries. Raises RefusedError.
    """
    fields = _fields(source)
    if fields.incompatible_features & _EXTENDED_L2:
        raise source.unsupported("it has extended L2 entries")
    cluster = fields.cluster_size
    top = source.read(fields.l1_table_offset, fields.l1_size * 8, "L1 table")
    start = end = 0
    for number, (table,) in enumerate(struct.iter_unpack(">Q", top)):
        if not table & _OFFSET_MASK:
            continue
        first = number * cluster // 8
        entries = source.read(table & _OFFSET_MASK, cluster, "L2 table")
        for index, (entry,) in enumerate(struct.iter_unpack(">Q", entries), first):
            if not entry:
                continue
            if index * cluster != end:
                if end:
                    yield start, end - start
                start = index * cluster
            end = min((index + 1) * cluster, fields.size)
    if end:
        yield start, end - start


def _fields(source: Source) -> _Fields:
    magic, version, *rest = _V2.unpack(source.read(0, _V2.size, "header"))
    if magic != MAGIC:
        raise source.unsound("it does not begin with the qcow2 magic")
    if version == 1:
        raise source.unsupported("it is a version 1 qcow image, not qcow2")
    if version == 2:
        return _Fields(version, *rest)
    if version != 3:
        raise source.unsound(f"its version is {version}")
    return _Fields(version, *rest, *_V3.unpack(source.read(_V2.size, _V3.size, "header")))


def _check_limits(source: Source, fields: _Fields) -> None:
    if not 9 <= fields.cluster_bits <= 21:
        raise source.unsound(f"its cluster size is 2^{fields.cluster_bits} bytes")
    if fields.version == 3 and not 104 <= fields.header_length <= fields.cluster_size:
        raise source.unsound(f"its header is {fields.header_length} bytes long")
    if fields.incompatible_features & ~_KNOWN:
        raise source.unsupported("it needs qcow2 features that are unknown here")
    if fields.refcount_order > 6:
        raise source.unsound(f"its refcounts are 2^{fields.refcount_order} bits wide")
    if fields.crypt_method > 2:
        raise source.unsound(f"its encryption method is {fields.crypt_method}")
    if fields.nb_snapshots > _MAX_SNAPSHOTS:
        raise source.unsound(f"it claims {fields.nb_snapshots} internal snapshots")
    if fields.nb_snapshots and not 0 < fields.snapshots_offset < source.size:
        raise source.unsound("its snapshot table lies outside the file")


def _check_tables(source: Source, fields: _Fields) -> None:
    cluster = fields.cluster_size
    entry = 16 if fields.incompatible_features & _EXTENDED_L2 else 8
    needed = -(-fields.size // (cluster * (cluster // entry)))
    if not fields.size or fields.l1_size < needed:
        raise source.unsound(
            f"its virtual size of {fields.size} bytes does not fit its L1 table "
            f"of {fields.l1_size} entries"
        )
    if fields.l1_size * 8 > MAX_L1_BYTES:
        raise source.unsound(f"its L1 table has {fields.l1_size} entries")
    if not 0 < fields.refcount_table_clusters * cluster <= _MAX_REFTABLE_BYTES:
        raise source.unsound(f"its refcount table has {fields.refcount_table_clusters} clusters")
    _check_table(source, fields, fields.l1_table_offset, fields.l1_size, "L1 table")
    entries = fields.refcount_table_clusters * cluster // 8
    _check_table(source, fields, fields.refcount_table_offset, entries, "refcount table")


def _check_table(source: Source, fields: _Fields, offset: int, entries: int, what: str) -> None:
    if offset == 0 or offset % fields.cluster_size:
        raise source.unsound(f"its {what} is at byte {offset}")
    used = source.read(offset, entries * 8, what).rstrip(b"\0")
    for (value,) in struct.iter_unpack(">Q", used + bytes(-len(used) % 8)):
        target = value & _OFFSET_MASK
        if target % fields.cluster_size:
            raise source.unsound(f"its {what} points to byte {target}, inside a cluster")
        if target:
            source.require(target, 1, f"{what} entry's target")


def _extensions(source: Source, fields: _Fields) -> Iterator[tuple[int, bytes]]:
    # The area ends at the backing file name, or with the first cluster.
    end = min(fields.backing_file_offset or fields.cluster_size, source.size)
    position = fields.header_length
    while position + _EXTENSION.size <= end:
        kind, length = _EXTENSION.unpack(source.read(position, _EXTENSION.size, "header extension"))
        if kind == _END:
            return
        position += _EXTENSION.size
        if position + length > end:
            raise source.unsound("one of its header extensions is longer than the header")
        yield kind, source.read(position, length, "header extension")
        position += -(-length // 8) * 8


def _backing(source: Source, fields: _Fields) -> str:
    if not fields.backing_file_offset or not fields.backing_file_size:
        return ""
    within = fields.backing_file_offset + fields.backing_file_size <= fields.cluster_size
    if fields.backing_file_size > _MAX_NAME or not within:
        raise source.unsound(f"its backing file name is {fields.backing_file_size} bytes long")
    raw = source.read(fields.backing_file_offset, fields.backing_file_size, "backing file name")
    return _text(source, raw, "backing file name")


def _data_file(
    source: Source, fields: _Fields, extensions: Mapping[int, bytes]
) -> tuple[Extent, ...]:
    if not fields.incompatible_features & _DATA_FILE:
        return ()
    name = _text(source, extensions.get(_DATA_FILE_NAME, b""), "data file name")
    if not name:
        raise source.unsupported("it keeps its data in another file, and does not say in which")
    return (Extent(name),)


def _text(source: Source, raw: bytes, what: str) -> str:
    if b"\0" in raw:
        raise source.unsound(f"its {what} holds a NUL byte")
    return raw.decode("utf-8", "surrogateescape")


def _unclean(incompatible_features: int) -> str:
    if incompatible_features & _CORRUPT:
        return "it is marked as corrupt"
    if incompatible_features & _DIRTY:
        return "it was not closed cleanly, so its reference counts may be wrong"
    return ""
