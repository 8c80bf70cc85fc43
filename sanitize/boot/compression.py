"""The compressions of an initrd: recognised by their magic, decompressed in pieces, within limits.

The kernel's own set is gzip, bzip2, lzma ("alone"), xz, lzo, lz4 (the legacy frame) and zstd.
All but lzo are read; lzo is recognised, so that it can be named. Nothing is ever decompressed as
a whole: a few kilobytes that grow to gigabytes cost time up to the limit, and no memory.

References: Linux lib/decompress.c (magics), lib/decompress_unlz4.c (Linux 6.1: a chunk of size 0
ends the stream); RFC 8878 (zstd frame and block headers); LZ4 Frame Format 1.6.3, "Legacy frame".
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from unclone.sanitize.boot.cpio import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Compression(StrEnum):
    """What a segment of an initrd is compressed with."""

    NONE = "uncompressed"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    LZMA = "lzma"
    XZ = "xz"
    LZO = "lzo"
    LZ4 = "lz4"  # the modern frame, which the kernel does not read
    LZ4_LEGACY = "lz4 (legacy)"
    ZSTD = "zstd"


#: No initrd unpacks to more: it has to fit into the memory of the machine it boots.
OUTPUT_LIMIT = 2 * 1024**3

_MAGICS: Mapping[bytes, Compression] = {
    b"\x1f\x8b": Compression.GZIP,
    b"BZh": Compression.BZIP2,
    b"\x5d\0\0": Compression.LZMA,
    b"\xfd7zXZ\0": Compression.XZ,
    b"\x89LZO": Compression.LZO,
    b"\x04\x22\x4d\x18": Compression.LZ4,
    b"\x02\x21\x4c\x18": Compression.LZ4_LEGACY,
    b"\x28\xb5\x2f\xfd": Compression.ZSTD,
    b"070701": Compression.NONE,
    b"070702": Compression.NONE,
}
_IN = 64 * 1024
_OUT = 1024 * 1024
_MEMORY_LIMIT = 256 * 1024 * 1024
_WINDOW_LIMIT = 128 * 1024 * 1024
_LZ4_CHUNK = 8 * 1024 * 1024
_LZ4_CHUNK_COMPRESSED = _LZ4_CHUNK + _LZ4_CHUNK // 255 + 16
_ZSTD_MAGIC, _ZSTD_BLOCK = b"\x28\xb5\x2f\xfd", 128 * 1024

_U32 = struct.Struct("<I")
#: What decompressors raise for a damaged stream.
_ERRORS = (OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError, struct.error)


def detect(data: bytes | memoryview, offset: int = 0) -> Compression | None:
    """What begins at *offset*; None when it is nothing the kernel could unpack."""
    head = bytes(data[offset : offset + 8])
    return next((kind for magic, kind in _MAGICS.items() if head.startswith(magic)), None)


def compress(content: bytes, compression: Compression) -> bytes | None:
    """One stream of *content* as the kernel reads it; None for what is not written here.

    gzip and zstd store the content as it is: it is small, and an identifier in it has its place.
    """
    pack = _COMPRESSORS.get(compression)
    return pack(content) if pack is not None else None


class Stream:
    """One compressed stream inside *data*, from *offset* to where it ends by itself.

    ``end`` is known once ``pieces`` is exhausted.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        offset: int,
        compression: Compression,
        *,
        limit: int = OUTPUT_LIMIT,
    ) -> None:
        self._data = memoryview(data)
        self._offset = offset
        self._compression = compression
        self._limit = limit
        self.end = offset

    def pieces(self) -> Iterator[bytes]:
        """What comes out, in pieces of up to 8 MiB.

        Raises ``DamagedError`` when the stream is damaged, truncated, or grows beyond the limit.
        """
        produced = 0
        try:
            for piece in self._unpacked():
                produced += len(piece)
                if produced > self._limit:
                    raise DamagedError(f"more than {self._limit} bytes come out of it")
                yield piece
        except _ERRORS as error:
            raise DamagedError(f"the {self._compression} stream is damaged ({error})") from error

    def _unpacked(self) -> Iterator[bytes]:
        match self._compression:
            case Compression.ZSTD:
                return self._zstd()
            case Compression.LZ4_LEGACY:
                return self._lz4_legacy()
            case Compression.NONE | Compression.LZO:
                raise DamagedError(f"{self._compression} is not a supported compression")
            case other:
                return self._stepwise(_DECOMPRESSORS[other]())

    def _stepwise(self, decompressor: _Decompressor) -> Iterator[bytes]:
        at = self._offset
        while not decompressor.eof:
            given = b""
            if decompressor.needs_input:
                given = bytes(self._data[at : at + _IN])
                at += len(given)
                if not given:
                    raise DamagedError(f"the {self._compression} stream is truncated")
            piece = decompressor.decompress(given, _OUT)
            if piece:
                yield piece
        self.end = at - len(decompressor.unused_data or b"")

    def _zstd(self) -> Iterator[bytes]:
        # The library does not say where a frame ended, and its other interface has no limit on
        # the output: the frame's block headers say the first, its reader keeps the second.
        import zstandard  # noqa: PLC0415 (slow to load, and loaded while others work)

        end = _zstd_frame_end(self._data, self._offset)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
        try:
            with decompressor.stream_reader(self._data[self._offset : end]) as reader:
                while piece := reader.read(_OUT):
                    yield piece
        except zstandard.ZstdError as error:
            raise RuntimeError(str(error)) from error
        self.end = end

    def _lz4_legacy(self) -> Iterator[bytes]:
        import lz4.block  # noqa: PLC0415 (only some initrds need it)

        at = self._offset + _U32.size
        while len(self._data) - at >= _U32.size:
            (size,) = _U32.unpack_from(self._data, at)
            # The magic once more begins another stream; older kernels know no other end.
            if size == 0 or detect(self._data, at) is Compression.LZ4_LEGACY:
                break
            block = self._data[at + _U32.size : at + _U32.size + size]
            if size > _LZ4_CHUNK_COMPRESSED or len(block) < size:
                raise DamagedError("a chunk of the lz4 (legacy) stream is longer than it can be")
            try:
                piece: bytes = lz4.block.decompress(block, uncompressed_size=_LZ4_CHUNK)
            except lz4.block.LZ4BlockError as error:
                raise RuntimeError(str(error)) from error
            yield piece
            at += _U32.size + size
        self.end = at


class _Decompressor(Protocol):
    """What the standard library's decompressors, and lz4's, have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail or data, max_length)


def _lz4_frame() -> _Decompressor:
    import lz4.frame  # noqa: PLC0415 (only some initrds need it)

    decompressor: _Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


_DECOMPRESSORS: Mapping[Compression, Callable[[], _Decompressor]] = {
    Compression.GZIP: _Gzip,
    Compression.BZIP2: bz2.BZ2Decompressor,
    Compression.LZMA: lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MEMORY_LIMIT),
    Compression.XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT),
    Compression.LZ4: _lz4_frame,
}


def _lz4_legacy(content: bytes) -> bytes:
    import lz4.block  # noqa: PLC0415 (only some initrds need it)

    stream = b"\x02\x21\x4c\x18"
    for at in range(0, len(content), _LZ4_CHUNK):
        block: bytes = lz4.block.compress(content[at : at + _LZ4_CHUNK], store_size=False)
        stream += _U32.pack(len(block)) + block
    return stream


def _zstd(content: bytes) -> bytes:
    """A frame of raw blocks, as long as its header says (RFC 8878, 3.1.1)."""
    stream = _ZSTD_MAGIC + b"\xa0" + _U32.pack(len(content))
    for at in range(0, max(len(content), 1), _ZSTD_BLOCK):
        block = content[at : at + _ZSTD_BLOCK]
        is_last = at + _ZSTD_BLOCK >= len(content)
        stream += (len(block) << 3 | is_last).to_bytes(3, "little") + block
    return stream


_COMPRESSORS: Mapping[Compression, Callable[[bytes], bytes]] = {
    Compression.GZIP: lambda content: gzip.compress(content, 0, mtime=0),
    Compression.BZIP2: bz2.compress,
    # The kernel knows no other checksum than CRC-32.
    Compression.XZ: lambda content: lzma.compress(content, check=lzma.CHECK_CRC32),
    Compression.LZ4_LEGACY: _lz4_legacy,
    Compression.ZSTD: _zstd,
}


def _zstd_frame_end(data: memoryview, start: int) -> int:
    """Where the frame at *start* ends, from its header and the headers of its blocks."""
    at = start + 4
    (descriptor,) = struct.unpack_from("<B", data, at)
    single_segment = bool(descriptor & 0x20)
    has_checksum = bool(descriptor & 0x04)
    content_size = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    at += 1 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size
    last = False
    while not last:
        low, high = struct.unpack_from("<HB", data, at)
        header = low | high << 16
        last = bool(header & 1)
        run_length = header >> 1 & 3 == 1
        at += 3 + (1 if run_length else header >> 3)
    at += 4 if has_checksum else 0
    if at > len(data):
        raise DamagedError("the zstd stream is truncated")
    return at
