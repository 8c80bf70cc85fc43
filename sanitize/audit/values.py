"""A value that tells machines apart, as an index can compare it."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple


class Found(NamedTuple):
    """``value`` is compared within ``kind``, which is the id of a step or rule where there is one.

    ``harmless`` says why it may be shared; "" for an identity. ``score`` is above 0 for what no
    rule knows: the higher, the more it looks like an identity.
    """

    kind: str
    value: str
    place: str
    harmless: str = ""
    score: int = 0


def bare_digits(value: bytes) -> bytes:
    """*value* as all its spellings have it: letters and digits, in lower case."""
    return re.sub(rb"[^0-9a-z]", b"", value.lower())


def digest(content: bytes) -> str:
    """What stands for *content* in a report: it may be a secret."""
    return f"sha256:{hashlib.sha256(content).hexdigest()[:32]}"
