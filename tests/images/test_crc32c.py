"""CRC-32C, with the values of RFC 3720, appendix B.4, and with long runs of zeros."""

from __future__ import annotations

import random

import pytest

from unclone.images.crc32c import crc32c

WHOLE = 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (bytes(32), 0x8A91_36AA),
        (b"\xff" * 32, 0x62A8_AB43),
        (bytes(range(32)), 0x46DD_794E),
        (b"123456789", 0xE306_9283),
    ],
)
def test_published_values(data: bytes, value: int) -> None:
    assert crc32c(WHOLE, data) ^ WHOLE == value


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 31, 4096, 65_537])
def test_zeros_at_the_end_count_one_by_one(zeros: int) -> None:
    chance = random.Random(zeros)
    content, start = chance.randbytes(9), chance.getrandbits(32)
    value = crc32c(start, content)
    for _ in range(zeros):
        value = crc32c(value, b"\0")
    assert crc32c(start, content + bytes(zeros)) == value
