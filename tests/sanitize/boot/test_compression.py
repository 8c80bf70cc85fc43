"""Streams made by the real compressors, found and undone; bombs and damage stopped."""

from __future__ import annotations

import random
import subprocess
import tracemalloc

import pytest

from tests.support.initrds import COMPRESSORS, compress
from unclone.sanitize.boot import compression as compression_module
from unclone.sanitize.boot.compression import Compression, Stream, detect
from unclone.sanitize.boot.cpio import DamagedError

EVERY = pytest.mark.parametrize(
    "compression", sorted(set(COMPRESSORS) - {Compression.NONE}), ids=lambda c: c.name.lower()
)
CONTENT = bytes(300_000) + random.Random(1).randbytes(300_000) + b"the end"


@EVERY
def test_a_stream_of_the_real_compressor_is_detected_and_undone(compression: Compression) -> None:
    before, after = b"before", bytes(4) + b"after"
    stream = before + (packed := compress(compression, CONTENT)) + after
    assert detect(stream, len(before)) is compression
    reading = Stream(stream, len(before), compression)
    assert b"".join(reading.pieces()) == CONTENT
    assert reading.end == len(before) + len(packed)


@pytest.mark.parametrize(
    "options",
    [
        *(["--no-check"], ["--no-content-size"], ["--long=27"], ["-T2"], ["-1"]),
        pytest.param(["--ultra", "-22"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_every_form_of_a_zstd_frame_has_an_end(options: list[str]) -> None:
    command = ["zstd", "-q", *options]
    for content in (b"", b"x", b"x" * 300, CONTENT):
        packed = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True).stdout
        reading = Stream(packed + b"rest", 0, Compression.ZSTD)
        assert b"".join(reading.pieces()) == content
        assert reading.end == len(packed)


@pytest.mark.slow
def test_several_chunks_of_lz4_legacy_are_one_stream_and_another_magic_is_the_next() -> None:
    content = random.Random(2).randbytes(9 * 1024 * 1024)  # a chunk holds 8 MiB
    packed = compress(Compression.LZ4_LEGACY, content, fast=True)
    for offset in (0, len(packed)):
        reading = Stream(packed + packed + bytes(6), offset, Compression.LZ4_LEGACY)
        assert b"".join(reading.pieces()) == content
        assert reading.end == offset + len(packed)


@pytest.mark.parametrize(
    ("compression", "command"),
    [
        (Compression.GZIP, ["gzip", "-dc"]),
        (Compression.BZIP2, ["bzip2", "-dc"]),
        (Compression.XZ, ["xz", "-dc"]),
        (Compression.LZ4_LEGACY, ["lz4", "-dc"]),
        (Compression.ZSTD, ["zstd", "-dc"]),
    ],
)
def test_the_real_decompressors_read_what_we_compress_behind_what_is_there(
    compression: Compression, command: list[str]
) -> None:
    packed = compression_module.compress(CONTENT, compression)
    assert packed is not None
    assert detect(packed) is compression
    assert b"".join(Stream(packed, 0, compression).pieces()) == CONTENT
    before = compress(compression, b"before ")
    both = subprocess.run(
        command, input=before + packed, stdout=subprocess.PIPE, check=True, timeout=60
    ).stdout
    assert both == b"before " + CONTENT


@pytest.mark.parametrize(
    "compression",
    [Compression.NONE, Compression.LZMA, Compression.LZO, Compression.LZ4],
    ids=lambda c: c.name.lower(),
)
def test_some_compressions_are_only_read(compression: Compression) -> None:
    assert compression_module.compress(CONTENT, compression) is None


@pytest.mark.slow
@EVERY
def test_a_bomb_is_stopped_at_the_limit_without_filling_the_memory(
    compression: Compression,
) -> None:
    bomb = compress(compression, bytes(40 * 1024 * 1024), fast=True)
    limit = 8 * 1024 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match="more than 8388608 bytes"):
            for _ in Stream(bomb, 0, compression, limit=limit).pieces():
                pass
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()


@EVERY
def test_a_stream_that_breaks_off_is_an_error(compression: Compression) -> None:
    packed = compress(compression, CONTENT)
    with pytest.raises(DamagedError):
        for _ in Stream(packed[: len(packed) // 2], 0, compression).pieces():
            pass


@EVERY
def test_flipped_bits_never_do_more_than_raise(compression: Compression) -> None:
    pristine = compress(compression, CONTENT[-3000:] * 3)
    chosen = random.Random(3)
    for _ in range(200):
        damaged = bytearray(pristine)
        damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        reading = Stream(bytes(damaged), 0, compression)
        try:
            sum(map(len, reading.pieces()))
        except DamagedError:
            continue
        assert 0 < reading.end <= len(pristine)


def test_a_dictionary_larger_than_any_initrd_needs_is_refused() -> None:
    packed = bytearray(compress(Compression.LZMA, b"content"))
    packed[1:5] = (0xF000_0000).to_bytes(4, "little")
    with pytest.raises(DamagedError, match=r"(?i)memory"):
        for _ in Stream(bytes(packed), 0, Compression.LZMA).pieces():
            pass


def test_lzo_is_recognised_and_said_to_be_unreadable() -> None:
    packed = b"\x89LZO\0\r\n\x1a\n" + bytes(30)
    assert detect(packed) is Compression.LZO
    with pytest.raises(DamagedError, match="lzo is not a supported compression"):
        next(Stream(packed, 0, Compression.LZO).pieces())


@pytest.mark.parametrize("nothing", [b"", b"\0\0\0\0", b"MZ", b"0707", b"\x1f"])
def test_anything_else_is_nothing(nothing: bytes) -> None:
    assert detect(nothing) is None
