"""New values: from the operating system's randomness, or derived from a key.

Derived values are the same whenever the same key, machine name and field are given, so that a
pipeline that runs twice makes the same machine. They are as hard to guess as the key is.

References: RFC 2104 (HMAC); RFC 9562, 4.1, 4.2, 5.4 and 5.8 (variant; UUID versions 4 and 8).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from unclone.sanitize.identities.uuids import canonical_uuid


@dataclass(frozen=True, slots=True)
class IdentityGenerator:
    """Where the new values of one machine come from; random when no *key* is given.

    Every value is asked for by the name of its *field*. A derived value depends on the key, the
    machine's name and the field alone; ``attempt`` counts up when a value turned out to be taken.
    """

    machine: str = ""
    key: bytes = field(default=b"", repr=False)

    def bytes(self, field: str, count: int, *, attempt: int = 0) -> bytes:
        """*count* bytes for *field*."""
        if not self.key:
            return os.urandom(count)
        from hashlib import sha256  # noqa: PLC0415 (OpenSSL comes with it: for derived values only)
        from hmac import digest  # noqa: PLC0415 (as above)

        stream = b""
        while len(stream) < count:
            block = len(stream) // sha256().digest_size
            # With their lengths, two different sets of parts are never the same message.
            parts = [self.machine, field, str(attempt), str(block)]
            message = b"".join(
                len(text.encode()).to_bytes(4, "big") + text.encode() for text in parts
            )
            stream += digest(self.key, message, "sha256")
        return stream[:count]

    def uuid(self, field: str, *, attempt: int = 0) -> str:
        """A UUID in lower case with dashes: version 4, or version 8 (made by a rule) if derived."""
        value = int.from_bytes(self.bytes(field, 16, attempt=attempt), "big")
        version, variant = 8 if self.key else 4, 0b10
        value = value & ~(0xF << 76) | version << 76
        value = value & ~(0b11 << 62) | variant << 62
        return canonical_uuid(f"{value:032x}")

    def number(self, field: str, low: int, high: int, *, attempt: int = 0) -> int:
        """A whole number from *low* to *high*, both included."""
        span = high - low + 1
        # 16 bytes more than needed: the bias of the remainder is then below 2**-128.
        drawn = self.bytes(field, (span.bit_length() + 7) // 8 + 16, attempt=attempt)
        return low + int.from_bytes(drawn, "big") % span
