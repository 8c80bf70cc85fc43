"""The spellings one identifier has in the files of a guest."""

from __future__ import annotations

import re

_HEX32 = re.compile(r"[0-9a-f]{32}")


def spellings(value: str) -> tuple[bytes, ...]:
    """Every way *value* may be written: plain and dashed, lower and upper case.

    A machine-id is 32 hex digits, and what refers to it may write it as a UUID (D-Bus tools,
    DUIDs, inventory agents). Anything else has one spelling.
    """
    plain = value.lower().replace("-", "")
    if not _HEX32.fullmatch(plain):
        return (value.encode("utf-8", "surrogateescape"),)
    dashed = "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))
    return tuple(s.encode() for s in (plain, dashed, plain.upper(), dashed.upper()))
