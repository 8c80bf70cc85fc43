"""Copies of old private host keys, whatever file they are in: found by their public halves.

A private key file holds the public key's numbers, too: in Base64 at any alignment, broken into
lines, in OpenSSH's and in PEM files; as they are in dropbear's.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from unclone.images.needles import Needles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.sanitize.change import Retired

#: The kind of a retired public half, and of a private key that is found.
PUBLIC, PRIVATE = "ssh-host-key", "ssh-private-host-key"

#: Characters of a needle, and from the start of one to that of the next: lines have at least 64,
#: so that no two needles can both be broken.
_LENGTH, _NEXT = 24, 32
#: What ends a text for grep, or a line of its patterns.
_NO_PATTERN = re.compile(rb"[\0\n]")


class KeyCopies:
    """Looks for the private keys whose public halves are among *retired*."""

    def __init__(self, retired: Iterable[Retired]) -> None:
        self._text: dict[bytes, Retired] = {}
        #: What a dropbear file begins with, and the numbers that are in it.
        self._binary: dict[Retired, tuple[bytes, bytes]] = {}
        for old in retired:
            if old.kind == PUBLIC:
                name, *fields = _fields(old.value)
                numbers = max(fields, key=len, default=b"").lstrip(b"\0")
                if len(numbers) < _LENGTH:
                    continue  # no key that a host has
                self._binary[old] = len(name).to_bytes(4, "big") + name, numbers
                self._text.update(dict.fromkeys(_in_base64(numbers), old))
        self._in_text = Needles(self._text)

    @property
    def needles(self) -> Sequence[bytes]:
        """One of these is in everything that holds one of the keys."""
        raw = {max(_NO_PATTERN.split(n), key=len)[:_LENGTH] for _, n in self._binary.values()}
        return sorted({*self._text, *raw} - {b""})

    def matches(self, content: bytes) -> Iterator[Retired]:
        """The keys whose private halves *content* holds."""
        found = set()
        if b"PRIVATE KEY" in content:
            found = {self._text[needle] for needle in self._in_text.found_in(content)}
        for old, (start, numbers) in self._binary.items():
            if old in found or (content.startswith(start) and numbers in content):
                yield old


def _in_base64(numbers: bytes) -> Iterator[bytes]:
    """Two parts of *numbers* in Base64, for each of the three alignments."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + numbers)
        # What depends on neighbouring bytes is left out.
        certain = encoded[-(-shift * 8 // 6) : (shift + len(numbers)) * 8 // 6]
        second = min(_NEXT, len(certain) - _LENGTH)
        yield from (certain[at : at + _LENGTH] for at in (0, second) if at >= 0)


def _fields(text: str) -> Sequence[bytes]:
    """The length-prefixed fields of a public key blob (RFC 4253 section 6.6), at least one."""
    try:
        blob = base64.b64decode(text)
    except binascii.Error:
        blob = b""
    fields, at = [], 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "big")
        fields.append(blob[at + 4 : end])
        at = end
    return fields or (b"",)
