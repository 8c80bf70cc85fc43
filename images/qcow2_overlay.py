"""A small qcow2 overlay, written in one go: no QEMU, no table that is looked for and changed.

Reference: QEMU ``docs/interop/qcow2.txt`` (header, header extensions, cluster mapping, refcounts).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.formats import qcow2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

#: Small, because few bytes differ between machines: a 64 KiB cluster would be copied for each.
CLUSTER_BITS = 13
CLUSTER = 1 << CLUSTER_BITS

#: What file systems allocate.
_PAGE = 4096
_NOTHING = bytes(_PAGE)

_COPIED = 1 << 63
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_HEADER_LENGTH = 112
_REFCOUNT_ORDER = 4  # 16 bits


class Overlay:
    """What the overlays of one image have in common.

    *clusters* are the numbers of the clusters (of ``2**cluster_bits`` bytes) that each of them
    holds; *size* is the image's virtual size in bytes. *backing* is a path, or the bytes that the
    header is to have.
    """

    def __init__(
        self,
        backing: Path | bytes,
        backing_format: str,
        size: int,
        clusters: set[int],
        cluster_bits: int = CLUSTER_BITS,
    ) -> None:
        self.clusters = tuple(sorted(clusters))
        self.cluster_size = cluster = 1 << cluster_bits
        in_table, in_block = cluster // 8, cluster // 2
        tables = sorted({number // in_table for number in self.clusters})
        top = -(-size // (cluster * in_table))
        top_clusters = -(-top * 8 // cluster)
        fixed = 1 + top_clusters + len(tables) + len(self.clusters)
        counted, blocks, count_table = fixed, 0, 0
        while (needed := -(-counted // in_block)) != blocks:
            blocks, count_table = needed, -(-needed * 8 // cluster)
            counted = fixed + blocks + count_table
        at_table = 1
        at_blocks = at_table + count_table
        at_top = at_blocks + blocks
        at_tables = at_top + top_clusters
        at_data = at_tables + len(tables)
        names = (os.fsencode(backing), backing_format.encode())
        head = [
            _header(*names, cluster_bits, size, top, at_top, at_table, count_table),
            _table({n: at_blocks + n for n in range(blocks)}, count_table, cluster, copied=False),
            _filled(b"\0\1" * (at_data + len(self.clusters)), blocks * cluster),
        ]
        leading = {number: at_tables + n for n, number in enumerate(tables)}
        head.append(_table(leading, top_clusters, cluster))
        places: dict[int, dict[int, int]] = {number: {} for number in tables}
        for n, number in enumerate(self.clusters):
            table, index = divmod(number, in_table)
            places[table][index] = at_data + n
        head += [_table(places[table], 1, cluster) for table in tables]
        self.head = b"".join(head)
        self.size = len(self.head) + len(self.clusters) * cluster
        self._head_pieces = tuple(_pieces(self.head))

    def write(self, path: Path, content: Mapping[int, bytes]) -> None:
        """Write the overlay with *content*, the bytes of each cluster, as the new file *path*.

        For its owner only, with holes for pages of zeros; not yet durable. Raises OSError.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            self.fill(file, lambda offset, _: content[offset // self.cluster_size])

    def fill(self, file: BinaryIO, read: Callable[[int, int], bytes]) -> None:
        """Write the overlay to the empty *file*, with what *read* returns for offset and length.

        The end of the last cluster may lie behind the disk's end: *read* may return fewer bytes.
        Pages of zeros are holes. Raises OSError.
        """
        for offset, piece in self._head_pieces:
            file.seek(offset)
            file.write(piece)
        start = len(self.head)
        for number in self.clusters:
            content = read(number * self.cluster_size, self.cluster_size)
            for offset, piece in _pieces(content):
                file.seek(start + offset)
                file.write(piece)
            start += self.cluster_size
        file.truncate(self.size)

    def holds(self, path: Path, content: Mapping[int, bytes]) -> bool:
        """Whether the file at *path* is what :meth:`write` writes for *content*."""
        with path.open("rb", buffering=0) as file:
            found = file.read(self.size + 1)
        if found[: len(self.head)] != self.head or len(found) != self.size:
            return False
        start, size = len(self.head), self.cluster_size
        return all(
            found[start + n * size : start + (n + 1) * size] == content[number]
            for n, number in enumerate(self.clusters)
        )


def _header(
    backing: bytes,
    form: bytes,
    bits: int,
    size: int,
    top: int,
    at_top: int,
    at_table: int,
    tables: int,
) -> bytes:
    qcow2.require_name(backing, Path(os.fsdecode(backing)))
    extension = struct.pack(">II", qcow2.BACKING_FORMAT, len(form)) + form + bytes(-len(form) % 8)
    name_at = _HEADER_LENGTH + len(extension) + 8  # behind the end of the extensions
    fixed = _HEADER.pack(
        qcow2.MAGIC,
        3,
        name_at,
        len(backing),
        bits,
        size,
        0,  # not encrypted
        top,
        at_top << bits,
        at_table << bits,
        tables,
        0,  # no snapshots
        0,
        0,  # incompatible, compatible and autoclear features
        0,
        0,
        _REFCOUNT_ORDER,
        _HEADER_LENGTH,
    )
    return _filled(fixed + bytes(8) + extension + bytes(8) + backing, 1 << bits)


def _table(clusters: Mapping[int, int], size: int, cluster: int, *, copied: bool = True) -> bytes:
    """Entries, by index, that lead to *clusters* of the file, in *size* clusters; others are 0."""
    flag = _COPIED if copied else 0
    table = bytearray(size * cluster)
    for index, number in clusters.items():
        struct.pack_into(">Q", table, index * 8, number * cluster | flag)
    return bytes(table)


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The pages of *content* that have something in them, in rows, with the offset of each row."""
    start = -1
    for at in range(0, len(content), _PAGE):
        if content.startswith(_NOTHING[: len(content) - at], at):
            if start >= 0:
                yield start, content[start:at]
            start = -1
        elif start < 0:
            start = at
    if start >= 0:
        yield start, content[start:]


def _filled(content: bytes, size: int) -> bytes:
    return content.ljust(size, b"\0")
