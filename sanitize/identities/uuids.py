"""UUIDs in many spellings: case, dashes, spaces and braces of the source are kept."""

from __future__ import annotations

import re

_HEX = frozenset("0123456789abcdefABCDEF")
_NO_DIGIT = re.compile("[^0-9a-fA-F]+")
_UUID = re.compile(r"[{]?(?:[0-9a-fA-F][ -]?){31}[0-9a-fA-F][}]?")


def hexadecimal(text: str) -> str:
    """The hexadecimal digits in *text*, in lower case, without what is between them."""
    return _NO_DIGIT.sub("", text).lower()


def is_uuid(text: str) -> bool:
    """Whether *text* is a UUID: 32 digits, with dashes, spaces and braces or without."""
    return bool(_UUID.fullmatch(text))


def canonical_uuid(uuid: str) -> str:
    """*uuid*, however it is spelled, in lower case with dashes; "" for ""."""
    digits = hexadecimal(uuid)
    cuts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return "-".join(digits[start:end] for start, end in cuts) if digits else ""


def respelled(new: str, like: str) -> str:
    """The digits of *new* with the separators and the case of *like*, which has as many."""
    upper = any(c in "ABCDEF" for c in like) and not any(c in "abcdef" for c in like)
    digits = iter(hexadecimal(new).upper() if upper else hexadecimal(new))
    return "".join(next(digits) if c in _HEX else c for c in like)
