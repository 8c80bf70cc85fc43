"""Compressed disk images: one row for each program that compresses.

References: RFC 1952 (gzip); the .xz file format 1.2.1, 2.1.1.1; bzip2 1.0.8 ``compress.c``;
RFC 8878 (Zstandard); qemu ``vma_spec.txt`` of Proxmox (``VMA``); POSIX pax, ustar interchange
format.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from unclone.images.errors import RefusedError
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_HEAD = 512
_CHUNK = 1024 * 1024
#: Bytes of a zstd stream that are unpacked at once: they may become 128 KiB for each three.
_ZSTD_CHUNK = 1024
#: Bytes that an image may have: more is a stream that is made to fill the disk.
SIZE_LIMIT = 8 * 1024**4
#: Bytes that stay free where an image is unpacked to.
_RESERVE = 64 * 1024 * 1024

_TAR = ("a tar archive, such as an OVA or a Vagrant box", "Unpack it with tar")
_VMA = ("a Proxmox backup (VMA)", "Unpack it with `vma extract` on a Proxmox host")
_LZO = ("compressed with lzop", "Unpack it with `lzop -d`")
_TAR_AT, _TAR_MAGIC, _VMA_MAGIC = 257, b"ustar", b"VMA\0"
#: What may be in a file that is no image: its magic number, where that is, and its name.
_NO_IMAGES = ((_TAR_AT, _TAR_MAGIC, _TAR), (0, _VMA_MAGIC, _VMA), (0, b"\x89LZO\0", _LZO))


class Compression(NamedTuple):
    """``suffix`` is that of its files; ``magic`` how they begin."""

    name: str
    suffix: str
    magic: bytes
    unpack: Callable[[BinaryIO], Iterator[bytes]]
    pack: Callable[[BinaryIO], BinaryIO]


def recognise(path: Path) -> Compression | None:
    """What the file at *path* is compressed with; None for everything else.

    Raises RefusedError for an archive with several files, which may hold disks.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            head = os.read(handle, _HEAD)
        finally:
            os.close(handle)
    except (OSError, ValueError):  # no file, or a folder: the run, which opens it next, says so
        return None
    _require_image(path, head)
    return _of_head(head)


def recognise_compression(path: Path) -> Compression | None:
    """As :func:`recognise`, for what may be an archive."""
    with path.open("rb") as file:
        return _of_head(file.read(_HEAD))


def archive_in(path: Path) -> str:
    """``tar`` or ``vma`` for such an archive at *path*, also a compressed one; else ""."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if (kind := _of_head(head)) is not None:
                file.seek(0)
                head = next(kind.unpack(file), b"")
    except (OSError, ValueError, EOFError, zlib.error, lzma.LZMAError, _DamagedError):
        return ""  # the run says what is wrong
    if head.startswith(_VMA_MAGIC):
        return "vma"
    return "tar" if head[_TAR_AT:].startswith(_TAR_MAGIC) else ""


def packed_as(path: Path) -> str:
    """``compressed`` or ``an archive``; "" for a file that is neither, or cannot be read."""
    if archive_in(path):
        return "an archive"
    try:
        return "compressed" if path.is_file() and recognise_compression(path) else ""
    except (OSError, ValueError):
        return ""


def _of_head(head: bytes) -> Compression | None:
    return next((each for each in TABLE if head.startswith(each.magic)), None)


def unpack(
    source: BinaryIO, path: Path, target: BinaryIO, kind: Compression, *, tar: bool = False
) -> None:
    """Write what is in *source*, the file at *path*, to *target*, sparse.

    Raises RefusedError for a damaged stream, and one that is too large or not an image (*tar*:
    or an archive).
    """
    size = 0
    free = os.fstatvfs(target.fileno())
    room = free.f_bavail * free.f_frsize - _RESERVE
    try:
        for chunk in kind.unpack(source):
            if not size and not tar:
                _require_image(path, chunk[:_HEAD])
            size += len(chunk)
            if chunk.count(0) == len(chunk):
                target.seek(len(chunk), os.SEEK_CUR)
            else:
                room -= len(chunk)
                target.write(chunk)
            if room < 0 or size > SIZE_LIMIT:
                raise RefusedError(
                    f"{shown(path)} is too large to be unpacked",
                    hint="Free some space in its folder, or use --output FILE elsewhere.",
                )
    except (EOFError, ValueError, zlib.error, lzma.LZMAError, _DamagedError) as error:
        raise _damaged(path, kind, error) from error
    except OSError as error:
        if error.errno is not None:  # no space left; the modules raise it without a number
            raise
        raise _damaged(path, kind, error) from error
    target.truncate(size)


def _damaged(path: Path, kind: Compression, error: Exception) -> RefusedError:
    return RefusedError(
        f"{shown(path)} is damaged: {error}",
        hint=f"`{kind.name} --test` checks it. Copy it again from where it came from.",
    )


def _require_image(path: Path, head: bytes) -> None:
    for offset, magic, (what, how) in _NO_IMAGES:
        if head[offset:].startswith(magic):
            raise RefusedError(
                f"{shown(path)} is {what}: its disks cannot be changed in it",
                hint=f"{how}, run this on the disks, and pack them again.",
            )


class _DamagedError(Exception):
    """A stream that ends too early, or is none."""


def _reading(module: Callable[[BinaryIO], BinaryIO]) -> Callable[[BinaryIO], Iterator[bytes]]:
    def unpacked(source: BinaryIO) -> Iterator[bytes]:
        with closing(module(source)) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    return unpacked


def _zstd_unpack(source: BinaryIO) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 (only for its files)

    stream = None
    while piece := source.read(_ZSTD_CHUNK):
        while piece:
            stream = stream or zstandard.ZstdDecompressor().decompressobj()
            try:
                chunk = stream.decompress(piece)
            except zstandard.ZstdError as error:
                raise _DamagedError(str(error)) from error
            if chunk:
                yield chunk
            piece = stream.unused_data if stream.eof else b""
            stream = None if stream.eof else stream
    if stream is not None:
        raise _DamagedError("it ends in the middle of a frame")


def _zstd_pack(target: BinaryIO) -> BinaryIO:
    import zstandard  # noqa: PLC0415 (only for its files)

    compressor = zstandard.ZstdCompressor(write_checksum=True, threads=-1)
    return cast("BinaryIO", compressor.stream_writer(target, closefd=False))


TABLE = (
    Compression(
        "gzip",
        ".gz",
        b"\x1f\x8b\x08",
        _reading(lambda source: cast("BinaryIO", gzip.GzipFile(fileobj=source))),
        # Without a name and a time: the same disk gives the same file.
        lambda target: cast("BinaryIO", gzip.GzipFile("", "wb", 6, target, 0)),
    ),
    Compression(
        "xz",
        ".xz",
        b"\xfd7zXZ\0",
        _reading(lambda source: cast("BinaryIO", lzma.LZMAFile(source))),  # noqa: SIM115 (the caller closes it)
        lambda target: cast("BinaryIO", lzma.LZMAFile(target, "w", check=lzma.CHECK_CRC64)),  # noqa: SIM115 (as above)
    ),
    Compression(
        "bzip2",
        ".bz2",
        b"BZh",
        _reading(lambda source: cast("BinaryIO", bz2.BZ2File(source))),
        lambda target: cast("BinaryIO", bz2.BZ2File(target, "w")),
    ),
    Compression("zstd", ".zst", b"\x28\xb5\x2f\xfd", _zstd_unpack, _zstd_pack),
)
