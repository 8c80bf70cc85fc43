"""CRC-32C (Castagnoli), as ext4, VHDX and others have it; each inverts the value or does not.

References: RFC 3385, section 6.1; Linux ``lib/crc32.c`` (``__crc32c_le``).
"""

from __future__ import annotations

from functools import cache


def crc32c(value: int, data: bytes | bytearray) -> int:
    """The register after *data* when it was *value* before, without any inversion."""
    table = _table()
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value


@cache
def _table() -> tuple[int, ...]:
    found = []
    for start in range(256):
        value = start
        for _ in range(8):
            value = value >> 1 ^ (0x82F6_3B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)
