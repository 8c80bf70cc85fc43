"""The content of an image at rest, read straight from its files.

An image is a stack of layers, the topmost first: what one does not hold is read from the next. None
of them may change meanwhile, and each was checked by QEMU before (``qemu-img check``).

References: QEMU ``docs/interop/qcow2.txt`` ("Cluster mapping"), QEMU 7.2 ``block/qcow2.h``
(qcow2_get_cluster_type), ``block/qcow2-threads.c`` (raw deflate, window of 4 KiB),
``block/io.c`` (what lies beyond the end of a file or of a backing image is zeros).
"""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_COMPRESSED, _COPIED, _ZERO = 1 << 62, 1 << 63, 1
_OFFSET = 0x00FF_FFFF_FFFF_FE00
_SECTOR = 512
_DEFLATE_WINDOW = -12
#: Bytes of decompressed clusters that are cached: the next read is often of the same cluster.
_KEPT = 4 * 1024 * 1024
#: Bytes of one read of a file.
_PIECE = 1024 * 1024
#: Entries of a part of an L2 table that is read at once, and how many parts are cached.
_SLICE, _SLICES = 512, 256


class Layer:
    """One image of the stack; *size* is bytes.

    *cluster_bits* is 0 for a raw image, whose file is the disk; the L1 table is a qcow2's. *data*
    is the file that holds the clusters when that is another one. *server* is the socket
    of an NBD server, if one shows this image with all below it.
    """

    def __init__(
        self,
        path: str,
        size: int,
        cluster_bits: int = 0,
        l1_table_offset: int = 0,
        version: int = 3,
        data: str = "",
        server: str = "",
    ) -> None:
        self.path = path
        self.size = size
        self.cluster_bits = cluster_bits
        self.l1_table_offset = l1_table_offset
        self.version = version
        self.data = data
        self.server = server

    def as_plain(self) -> tuple[Any, ...]:
        """What the constructor takes, in types that can be marshalled."""
        return tuple(vars(self).values())


class UnreadableError(Exception):
    """Only QEMU can read this part."""


class Clusters:
    """The content of *layers*, which must not change."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._open: list[_Raw | _Qcow2 | _Served] = []
        try:
            self._open.extend(map(_opened, layers))
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*, which lie on the disk.

        Raises UnreadableError when only QEMU can read it, OSError when a file cannot be read.
        """
        found = self._read(offset, count)
        if len(found) == count:
            return found
        # Joined as they come: memory that nobody has used yet costs more than copying into it.
        joined = BytesIO(bytes(count))
        joined.write(found)
        while (done := joined.tell()) < count:
            joined.write(self._read(offset + done, min(count - done, _PIECE)))
        return joined.getvalue()

    def close(self) -> None:
        """Close the files. Safe to call twice."""
        while self._open:
            self._open.pop().close()

    def _read(self, offset: int, count: int) -> bytes:
        """As many of *count* bytes at *offset* as one layer holds in a row, at least one."""
        for layer in self._open:
            if offset >= layer.size:
                break  # a shorter image hides what is below it
            count = min(count, layer.size - offset)
            held, count = layer.read(offset, count)
            if held is not None:
                return held
        return bytes(count)


class _Served:
    """A disk that QEMU reads."""

    def __init__(self, layer: Layer) -> None:
        from unclone.images.engines.direct.access.nbd import Connection  # noqa: PLC0415 (rare)

        self.size = layer.size
        self._connection = Connection(layer.server)

    def read(self, offset: int, count: int) -> tuple[bytes, int]:
        return self._connection.read(offset, count), count

    def close(self) -> None:
        self._connection.close()


class _Raw:
    """A file that is the disk, with zeros behind its end."""

    def __init__(self, layer: Layer) -> None:
        self.size = layer.size
        self._file = _open(layer.path)

    def read(self, offset: int, count: int) -> tuple[bytes, int]:
        return _padded(self._file, offset, count), count

    def close(self) -> None:
        os.close(self._file)


class _Qcow2:
    """A qcow2: a table of tables says where each cluster is, if there is one."""

    def __init__(self, layer: Layer) -> None:
        self.size = layer.size
        self._bits = layer.cluster_bits
        self._cluster = 1 << layer.cluster_bits
        self._l1 = layer.l1_table_offset
        self._external = bool(layer.data)
        self._zero = _ZERO if layer.version >= 3 else 0
        self._inflated: dict[int, bytes] = {}
        #: Parts of the L2 tables, by number; a table may be much larger than what is read of it.
        self._slices: dict[int, Sequence[int]] = {}
        self._in_slice = min(1 << self._bits - 3, _SLICE)
        self._file = self._data = _open(layer.path)
        if layer.data:
            try:
                self._data = _open(layer.data)
            except OSError:
                os.close(self._file)
                raise

    def read(self, offset: int, count: int) -> tuple[bytes | None, int]:
        """What this layer itself holds at *offset*, or None; and for how many bytes that is so."""
        inside = offset & (self._cluster - 1)
        entries = self._entries(offset, inside + count)
        kind, place = self._kind(entries[0])
        if kind == "compressed":
            count = min(count, self._cluster - inside)
            return self._inflate(entries[0])[inside : inside + count], count
        clusters = 1
        for entry in entries[1:]:
            more, at = self._kind(entry)
            if more != kind or (kind == "here" and at != place + (clusters << self._bits)):
                break
            clusters += 1
        count = min(count, (clusters << self._bits) - inside)
        if kind == "below":
            return None, count
        if kind == "zeros":
            return bytes(count), count
        return _padded(self._data, place + inside, count), count

    def close(self) -> None:
        os.close(self._file)
        if self._data != self._file:
            os.close(self._data)

    def _entries(self, offset: int, count: int) -> Sequence[int]:
        """The L2 entries for *count* bytes from the cluster of *offset* on, or fewer."""
        index = offset >> self._bits
        number, first = divmod(index, self._in_slice)
        known = self._slices.get(number)
        if known is None:
            known = self._slice(index - first)
            if len(self._slices) >= _SLICES:
                self._slices.clear()
            self._slices[number] = known
        found = known[first : first - (-count >> self._bits)]
        if not found:  # the file is too short
            raise UnreadableError
        return found

    def _slice(self, index: int) -> Sequence[int]:
        """The L2 entries from that of cluster *index* on, in one part of one table."""
        top, first = divmod(index, 1 << self._bits - 3)
        table = int.from_bytes(_exactly(self._file, self._l1 + 8 * top, 8), "big") & _OFFSET
        if not table:
            return (0,) * self._in_slice
        raw = os.pread(self._file, 8 * self._in_slice, table + 8 * first)
        return struct.unpack(f">{len(raw) // 8}Q", raw[: len(raw) & -8])

    def _kind(self, entry: int) -> tuple[str, int]:
        if entry & _COMPRESSED:
            return "compressed", 0
        if entry & self._zero:
            return "zeros", 0
        place = entry & _OFFSET
        # In a file of its own a cluster may be at 0.
        if place or (self._external and entry & _COPIED):
            return "here", place
        return "below", 0

    def _inflate(self, entry: int) -> bytes:
        if (held := self._inflated.get(entry)) is not None:
            return held
        split = 62 - (self._bits - 8)
        place = entry & ((1 << split) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> split
        raw = os.pread(self._file, (sectors + 1) * _SECTOR - place % _SECTOR, place)
        try:
            content = zlib.decompressobj(_DEFLATE_WINDOW).decompress(raw, self._cluster)
        except zlib.error as error:
            raise UnreadableError from error
        if len(content) != self._cluster:
            raise UnreadableError
        while len(self._inflated) * self._cluster >= _KEPT:
            del self._inflated[next(iter(self._inflated))]
        self._inflated[entry] = content
        return content


def _opened(layer: Layer) -> _Raw | _Qcow2 | _Served:
    if layer.server:
        return _Served(layer)
    return _Qcow2(layer) if layer.cluster_bits else _Raw(layer)


def _open(path: str) -> int:
    # A pinned name (images/pinned.py) is a link to the file.
    links = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | links)


def _padded(file: int, offset: int, count: int) -> bytes:
    got = os.pread(file, count, offset)
    if len(got) == count:
        return got
    parts = [got]
    while got:  # a call may be cut short, at 2 GiB for one
        offset, count = offset + len(got), count - len(got)
        got = os.pread(file, count, offset)
        parts.append(got)
    return b"".join([*parts, bytes(count)])


def _exactly(file: int, offset: int, count: int) -> bytes:
    got = os.pread(file, count, offset)
    if len(got) != count:
        raise UnreadableError
    return got
