"""How a CRC changes with a few bytes of what it covers, without the rest of it.

A CRC is linear: what a changed byte does to it depends on the change and on how many bytes follow.

References: zlib.crc32 (RFC 1952, 8; UEFI 2.10, 5.3.1 for GPT); RFC 3385, 6.1 (CRC-32C, ext4).
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from unclone.images.crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Each computes the CRC of bytes; constants that are added before and after cancel out.
ALGORITHMS: Mapping[str, Callable[[bytes], int]] = {
    "crc32": zlib.crc32,
    "crc32c": lambda data: crc32c(0, data),
}


@lru_cache(maxsize=4096)
def effects(algorithm: str, following: int) -> tuple[int, ...]:
    """What XORing a byte with 0 to 255 changes in the CRC, when *following* bytes follow it."""
    compute = ALGORITHMS[algorithm]
    zeros = bytes(following)
    none = compute(b"\0" + zeros)
    bits = [compute(bytes([1 << bit]) + zeros) ^ none for bit in range(8)]
    table = [0]
    for bit in bits:
        table += [each ^ bit for each in table]
    return tuple(table)


def change(algorithm: str, following: int, difference: bytes) -> int:
    """What XORing *difference* changes, when *following* bytes follow the last of it."""
    changed, left = 0, following + len(difference)
    for byte in difference:
        left -= 1
        if byte:
            changed ^= effects(algorithm, left)[byte]
    return changed
