"""One value, many spellings: case, dashes, braces and separators of the source are kept."""

from __future__ import annotations

import re

_HEX = "0123456789abcdefABCDEF"
_UUID = re.compile(r"[{]?(?:[0-9a-fA-F][ -]?){31}[0-9a-fA-F][}]?")
_MAC = re.compile(
    r"[0-9a-fA-F]{12}|[0-9a-fA-F]{1,2}(?:([:-])[0-9a-fA-F]{1,2})(?:\1[0-9a-fA-F]{1,2}){4}"
)


def hexadecimal(text: str) -> str:
    """The digits of a UUID or MAC address, in lower case, without what is between them.

    Octets of one digit (``8:0:27:1:2:3``) get their zero.
    """
    if _MAC.fullmatch(text) and (":" in text or "-" in text):
        return "".join(octet.zfill(2) for octet in re.split("[:-]", text)).lower()
    return "".join(c for c in text if c in _HEX).lower()


def is_uuid(text: str) -> bool:
    """Whether *text* is a UUID in one of its spellings."""
    return bool(_UUID.fullmatch(text))


def is_mac(text: str) -> bool:
    """Whether *text* is a MAC address: six octets, separated by colons or dashes or not at all."""
    return bool(_MAC.fullmatch(text))


def respelled(digits: str, like: str) -> str:
    """Hexadecimal *digits* with the separators and the case of *like*, which has as many.

    Where *like* has another number of digits (octets of one digit) the answer has two for each.
    """
    upper = any(c in "ABCDEF" for c in like) and not any(c in "abcdef" for c in like)
    digits = digits.upper() if upper else digits
    if sum(c in _HEX for c in like) != len(digits):
        separator = next((c for c in like if c in ":-"), "")
        return separator.join(digits[i : i + 2] for i in range(0, len(digits), 2))
    waiting = iter(digits)
    return "".join(next(waiting) if c in _HEX else c for c in like)
