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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from unclone.images.formats.header import Source

MAGIC = b"QFI\xfb"

_V2 = struct.Struct(">4sIQIIQIIQQIIQ")  # bytes 0 to 71
_V3 = struct.Struct(">QQQII")  # bytes 72 to 103
_EXTENSION = struct.Struct(">II")

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2

_END = 0
_BACKING_FORMAT = 0xE2792ACA
_DATA_FILE_NAME = 0x44415441
_ENCRYPTION = 0x0537BE77

_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00  # bits 9 to 55 of an L1 or refcount table entry
_MAX_L1_BYTES = 32 * 1024 * 1024
_MAX_REFTABLE_BYTES = 8 * 1024 * 1024
_MAX_SNAPSHOTS = 65536
_MAX_NAME = 1023


class _Fixed(NamedTuple):
    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    l1_offset: int
    reftable_offset: int
    reftable_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int = 0
    refcount_order: int = 4
    length: int = 72

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits


def read_header(source: Source) -> Header:
    """Read and cross-check the header. Raises RefusedError when it lies or asks too much."""
    fixed = _fixed(source)
    _check_limits(source, fixed)
    _check_tables(source, fixed)
    extensions = dict(_extensions(source, fixed))
    if fixed.encryption or _ENCRYPTION in extensions:
        raise RefusedError(
            f"{source.name} is an encrypted qcow2 image",
            hint="Decrypt it first with qemu-img convert; encryption inside the guest (LUKS) "
            "is supported.",
        )
    return Header(
        format=Format.QCOW2,
        virtual_size=fixed.size,
        cluster_size=fixed.cluster_size,
        variant=f"v{fixed.version}",
        backing=_backing(source, fixed),
        backing_format=_text(source, extensions.get(_BACKING_FORMAT, b""), "backing format"),
        extents=_data_file(source, fixed, extensions),
        snapshots=fixed.snapshots,
        unclean=_unclean(fixed.incompatible),
    )


def read_tables(source: Source) -> tuple[int, int, int] | None:
    """The cluster bits, the offset of the L1 table and the version of a header that was read.

    None when clusters are divided further or compressed in other ways than the first one.
    """
    fixed = _fixed(source)
    if fixed.incompatible & (_EXTENDED_L2 | _COMPRESSION):
        return None
    return fixed.cluster_bits, fixed.l1_offset, fixed.version


def _fixed(source: Source) -> _Fixed:
    magic, version, *rest = _V2.unpack(source.read(0, _V2.size, "header"))
    if magic != MAGIC:
        raise source.lie("it does not begin with the qcow2 magic")
    if version == 1:
        raise source.unsupported("it is a version 1 qcow image, not qcow2")
    if version == 2:
        return _Fixed(version, *rest)
    if version != 3:
        raise source.lie(f"its version is {version}")
    incompatible, _, _, order, length = _V3.unpack(source.read(_V2.size, _V3.size, "header"))
    rest += [incompatible, order, length]
    return _Fixed(version, *rest)


def _check_limits(source: Source, fixed: _Fixed) -> None:
    if not 9 <= fixed.cluster_bits <= 21:
        raise source.lie(f"its cluster size is 2^{fixed.cluster_bits} bytes")
    if fixed.version == 3 and not 104 <= fixed.length <= fixed.cluster_size:
        raise source.lie(f"its header is {fixed.length} bytes long")
    if fixed.incompatible & ~_KNOWN:
        raise source.unsupported("it needs qcow2 features that are unknown here")
    if fixed.refcount_order > 6:
        raise source.lie(f"its refcounts are 2^{fixed.refcount_order} bits wide")
    if fixed.encryption > 2:
        raise source.lie(f"its encryption method is {fixed.encryption}")
    if fixed.snapshots > _MAX_SNAPSHOTS:
        raise source.lie(f"it claims {fixed.snapshots} internal snapshots")
    if fixed.snapshots and not 0 < fixed.snapshots_offset < source.size:
        raise source.lie("its snapshot table lies outside the file")


def _check_tables(source: Source, fixed: _Fixed) -> None:
    cluster = fixed.cluster_size
    entry = 16 if fixed.incompatible & _EXTENDED_L2 else 8
    needed = -(-fixed.size // (cluster * (cluster // entry)))
    if not fixed.size or fixed.l1_entries < needed:
        raise source.lie(
            f"its virtual size of {fixed.size} bytes does not fit its L1 table "
            f"of {fixed.l1_entries} entries"
        )
    if fixed.l1_entries * 8 > _MAX_L1_BYTES:
        raise source.lie(f"its L1 table has {fixed.l1_entries} entries")
    if not 0 < fixed.reftable_clusters * cluster <= _MAX_REFTABLE_BYTES:
        raise source.lie(f"its refcount table has {fixed.reftable_clusters} clusters")
    _check_table(source, fixed, fixed.l1_offset, fixed.l1_entries, "L1 table")
    entries = fixed.reftable_clusters * cluster // 8
    _check_table(source, fixed, fixed.reftable_offset, entries, "refcount table")


def _check_table(source: Source, fixed: _Fixed, offset: int, entries: int, what: str) -> None:
    if offset == 0 or offset % fixed.cluster_size:
        raise source.lie(f"its {what} is at byte {offset}")
    used = source.read(offset, entries * 8, what).rstrip(b"\0")
    for (value,) in struct.iter_unpack(">Q", used + bytes(-len(used) % 8)):
        target = value & _OFFSET_MASK
        if target % fixed.cluster_size:
            raise source.lie(f"its {what} points to byte {target}, inside a cluster")
        if target:
            source.require(target, 1, f"{what} entry's target")


def _extensions(source: Source, fixed: _Fixed) -> Iterator[tuple[int, bytes]]:
    # The area ends at the backing file name, or with the first cluster.
    end = min(fixed.backing_offset or fixed.cluster_size, source.size)
    position = fixed.length
    while position + _EXTENSION.size <= end:
        kind, length = _EXTENSION.unpack(source.read(position, _EXTENSION.size, "header extension"))
        if kind == _END:
            return
        position += _EXTENSION.size
        if position + length > end:
            raise source.lie("one of its header extensions is longer than the header")
        yield kind, source.read(position, length, "header extension")
        position += -(-length // 8) * 8


def _backing(source: Source, fixed: _Fixed) -> str:
    if not fixed.backing_offset or not fixed.backing_length:
        return ""
    within = fixed.backing_offset + fixed.backing_length <= fixed.cluster_size
    if fixed.backing_length > _MAX_NAME or not within:
        raise source.lie(f"its backing file name is {fixed.backing_length} bytes long")
    raw = source.read(fixed.backing_offset, fixed.backing_length, "backing file name")
    return _text(source, raw, "backing file name")


def _data_file(
    source: Source, fixed: _Fixed, extensions: Mapping[int, bytes]
) -> tuple[Extent, ...]:
    if not fixed.incompatible & _DATA_FILE:
        return ()
    name = _text(source, extensions.get(_DATA_FILE_NAME, b""), "data file name")
    if not name:
        raise source.unsupported("it keeps its data in another file, and does not say in which")
    return (Extent(name),)


def _text(source: Source, raw: bytes, what: str) -> str:
    if b"\0" in raw:
        raise source.lie(f"its {what} holds a NUL byte")
    return raw.decode("utf-8", "surrogateescape")


def _unclean(incompatible: int) -> str:
    if incompatible & _CORRUPT:
        return "it is marked as corrupt"
    if incompatible & _DIRTY:
        return "it was not closed cleanly, so its reference counts may be wrong"
    return ""
