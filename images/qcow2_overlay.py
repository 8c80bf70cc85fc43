"""Writing a qcow2 overlay sequentially, without QEMU.

Reference: QEMU ``docs/interop/qcow2.txt`` (header, header extensions, cluster mapping, refcounts).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.formats import qcow2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import BinaryIO

#: Small, because few bytes differ between machines, and each changed cluster is stored whole.
CLUSTER_BITS = 13
CLUSTER = 1 << CLUSTER_BITS

#: Bytes that file systems allocate at least.
_PAGE = 4096
_NOTHING = bytes(_PAGE)

_COPIED = 1 << 63
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_HEADER_LENGTH = 112
_REFCOUNT_ORDER = 4  # 16 bits


class Overlay:
    """The metadata of overlays of one image that hold the same clusters.

    *clusters* are their numbers, each cluster having ``2**cluster_bits`` bytes; *size* is the
    virtual size of the image in bytes. *backing* is the backing file: a path, or the bytes for the
    header. Raises RefusedError when it is too long, or the disk too large.
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
        if top * 8 > qcow2.MAX_L1_BYTES:
            raise RefusedError(
                f"a disk of {size} bytes is too large for an overlay",
                hint="Shrink the disk first: qemu-img resize --shrink.",
            )
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

        Of mode 0600, with holes for pages of zeros; not yet durable. Raises OSError.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            self.fill(file, lambda offset, _: content[offset // self.cluster_size])

    def fill(self, file: BinaryIO, read: Callable[[int, int], bytes]) -> None:
        """Write the overlay to the empty *file*, with the content ``read(offset, length)``.

        *read* may return fewer bytes for the last cluster, at the disk's end. Pages of zeros become
        holes. Raises OSError.
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
        """Whether the file at *path* has the bytes that :meth:`write` writes. Raises OSError."""
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
    name_at = _HEADER_LENGTH + len(extension) + 8  # after the end of the extensions
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
    """A table of *size* clusters: *clusters* maps an index to a cluster of the file; else 0."""
    flag = _COPIED if copied else 0
    table = bytearray(size * cluster)
    for index, number in clusters.items():
        struct.pack_into(">Q", table, index * 8, number * cluster | flag)
    return bytes(table)


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Offset and content of each run of pages in *content* that are not all zeros."""
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
