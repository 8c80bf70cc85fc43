"""What identities look like, where no rule says what a value is.

References: RFC 9562 (UUID); IEEE 802 (MAC-48); systemd sd-id128(3) (32 digits).
"""

from __future__ import annotations

import math
import re
from collections import Counter

#: A UUID, 32 or more hexadecimal digits, a MAC address; letters and digits around them are part of
#: something longer.
_BEFORE, _AFTER = rb"(?<![0-9A-Za-z])", rb"(?![0-9A-Za-z])"
UUID = re.compile(_BEFORE + rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}" + _AFTER)
HEXADECIMAL = re.compile(_BEFORE + rb"(?:[0-9a-f]{16,128}|[0-9A-F]{16,128})" + _AFTER)
MAC = re.compile(
    rb"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})"
    rb"(?![0-9A-Za-z:-])"
)
#: A key, token or fingerprint: base64 and its relatives.
TOKEN = re.compile(rb"(?<![0-9A-Za-z+/=_-])[0-9A-Za-z+/_-]{20,4096}={0,2}(?![0-9A-Za-z+/=_-])")

#: Bits for each byte, from which on a text of some length is taken for random.
_RANDOM_TEXT, _RANDOM_BYTES = 3.6, 0.8


def entropy(content: bytes) -> float:
    """Shannon's entropy of the bytes of *content*, in bits for each."""
    total = len(content)
    return -sum(n / total * math.log2(n / total) for n in Counter(content).values())


def is_random_token(token: bytes) -> bool:
    """Whether *token* looks drawn: letters of both cases and digits, not in the order of words."""
    text = token.rstrip(b"=")
    if b"/" in text and text.count(b"/") > len(text) // 16:
        return False  # a path
    classes = (re.search(c, text) for c in (rb"[a-z]", rb"[A-Z]", rb"[0-9]"))
    if sum(map(bool, classes)) < 3:
        return False
    changes = len(re.findall(rb"[a-z][A-Z0-9]|[A-Z][a-z0-9]|[0-9][A-Za-z]", text))
    return changes * 4 >= len(text) and entropy(text) >= _RANDOM_TEXT


def is_binary(content: bytes) -> bool:
    """Whether *content* is no text: it has control characters that texts have not."""
    return re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", content) is not None


def is_random_binary(content: bytes) -> bool:
    """Whether *content* is bytes that look drawn: most of the entropy that its length allows."""
    most = min(8.0, math.log2(max(len(content), 2)))
    return is_binary(content) and entropy(content) >= _RANDOM_BYTES * most


def may_identify(content: bytes) -> bool:
    """Whether anything in *content* looks like an identity."""
    patterns = (UUID, HEXADECIMAL, MAC)
    return (
        is_binary(content)
        or any(pattern.search(content) for pattern in patterns)
        or any(is_random_token(match[0]) for match in TOKEN.finditer(content))
    )
