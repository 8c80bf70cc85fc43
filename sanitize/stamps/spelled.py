"""The spellings of a machine's values, text and binary, in an order that values share."""

from __future__ import annotations

import re
import struct
from functools import lru_cache

from unclone.sanitize.identities.spellings import spellings

_FOUR_BYTES = re.compile(r"[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}")


@lru_cache(maxsize=64)
def spelled(value: str) -> tuple[bytes, ...]:
    """Every spelling of *value*; the n-th of two values of one kind are equally long.

    The last is binary where the value is four bytes (a FAT serial, an MBR disk id); binary UUIDs
    are among the spellings.
    """
    found = spellings(value)
    if _FOUR_BYTES.fullmatch(value):
        return (*found, struct.pack("<I", int(value.replace("-", ""), 16)))
    return found
