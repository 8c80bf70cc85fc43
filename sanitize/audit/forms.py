"""What identities look like, where no rule says what a value is.

References: RFC 9562 (UUID); IEEE 802 (MAC-48); systemd sd-id128(3) (32 digits); elf(5) (e_type).
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
#: Bytes with colons between them, more than an address has: a DUID, a fingerprint.
OCTETS = re.compile(rb"(?<![0-9A-Za-z:])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){7,128}(?![0-9A-Za-z:])")
#: A key, token or fingerprint: base64 and its relatives, base32, base58, base62.
TOKEN = re.compile(rb"(?<![0-9A-Za-z+/=_-])[0-9A-Za-z+/_-]{16,4096}={0,2}(?![0-9A-Za-z+/=_-])")

_CLASSES = (rb"[a-z]", rb"[A-Z]", rb"[0-9]")
#: Where one class of characters ends and another begins.
_CHANGE = re.compile(rb"(?=[a-z][A-Z0-9]|[A-Z][a-z0-9]|[0-9][A-Za-z])")

#: Bits for each byte, from which on a text is taken for random; of the most that bytes can have.
_RANDOM_TEXT, _RANDOM_BYTES = 3.2, 0.8


def entropy(content: bytes) -> float:
    """Shannon's entropy of the bytes of *content*, in bits for each."""
    total = len(content)
    return -sum(n / total * math.log2(n / total) for n in Counter(content).values())


def is_random_token(token: bytes) -> bool:
    """Whether *token* looks drawn: letters and digits, or both cases, not as in words."""
    text = token.rstrip(b"=")
    if text.count(b"/") > len(text) // 8:  # a path
        return False
    digits = len(re.findall(rb"[0-9]", text))
    mixed = sum(re.search(each, text) is not None for each in _CLASSES)
    if mixed < 2 or (digits * 8 < len(text) and mixed < 3):
        return False
    return len(_CHANGE.findall(text)) * 4 >= len(text) and entropy(text) >= _RANDOM_TEXT


def is_binary(content: bytes) -> bool:
    """Whether *content* is no text: it has control characters, or is not UTF-8."""
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", content) is not None:
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def is_object(content: bytes) -> bool:
    """Whether *content* is a relocatable object, as modules of kernels and boot loaders are."""
    return content.startswith(b"\x7fELF") and content[16:18] in {b"\1\0", b"\0\1"}


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
