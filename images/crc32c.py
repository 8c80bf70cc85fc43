"""CRC-32C (Castagnoli), used by ext4, btrfs and VHDX; only some of them invert the value.

References: RFC 3385, section 6.1; Linux ``lib/crc32.c`` (``__crc32c_le``).
"""

from __future__ import annotations

import ctypes
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes; for less, a call of the library takes no less time.
_SHORT = 64


def crc32c(value: int, data: bytes | bytearray) -> int:
    """The CRC register after *data*, from the register *value*; nothing is inverted."""
    if len(data) > _SHORT and (quick := _of_library()) is not None:
        return quick(value, bytes(data), len(data))
    table = _table()
    content = data.rstrip(b"\0")  # metadata mostly ends in zeros
    for byte in content:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return _after_zeros(value, len(data) - len(content))


def _after_zeros(value: int, count: int) -> int:
    """The register after *count* zero bytes, in log2(count) steps as zlib's ``crc32_combine``.

    A zero byte changes the register linearly, so two equal steps are a linear change, too.
    """
    power = 0
    while count:
        if count & 1:
            value = _apply(_after_two_to_the(power), value)
        count >>= 1
        power += 1
    return value


@cache
def _after_two_to_the(power: int) -> tuple[int, ...]:
    """The register after 2**power zero bytes, for each single bit of it."""
    if power == 0:
        return tuple(1 << bit >> 8 ^ _table()[1 << bit & 0xFF] for bit in range(32))
    half = _after_two_to_the(power - 1)
    return tuple(_apply(half, value) for value in half)


def _apply(operator: tuple[int, ...], value: int) -> int:
    found = 0
    while value:
        low = value & -value
        found ^= operator[low.bit_length() - 1]
        value ^= low
    return found


@cache
def _of_library() -> Callable[[int, bytes, int], int] | None:
    """That of libext2fs, which takes a hundredth of the time; None where there is none."""
    try:
        found = ctypes.CDLL("libext2fs.so.2").ext2fs_crc32c_le
    except (OSError, AttributeError):
        return None
    found.argtypes = (ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t)
    found.restype = ctypes.c_uint32
    return found


@cache
def _table() -> tuple[int, ...]:
    found = []
    for start in range(256):
        value = start
        for _ in range(8):
            value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)
