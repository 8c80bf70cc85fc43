"""Several pieces of user-data as one MIME multipart message, and taken apart again.

The message is written by hand because it must depend on nothing but its parts: the boundary is
derived from them, and no date or message id is added. ASCII parts stay readable; others are base64,
because cloud-init decodes the message as text before it looks for parts.

References: RFC 2045, RFC 2046 5.1 (multipart); cloud-init ``cloudinit/user_data.py``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError
from unclone.seeds.formats import is_mime, kind_of, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: SMTP's limit on a line (RFC 5322 2.1.1); longer ones are base64 as well.
_LONGEST_LINE = 998


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of user-data. ``name`` is what it is called in messages and inside the guest."""

    name: str
    content: bytes
    type: str = ""


def part(name: str, content: bytes) -> Part:
    """A part whose type is read from its first bytes. :class:`SeedError` when there is none."""
    kind = kind_of(unpacked(content).decode("utf-8", "replace"))
    if not kind:
        raise SeedError(
            f"{name} begins with nothing that cloud-init knows: it cannot be one of several parts",
            hint="The first line says what it is: #cloud-config, or #! and an interpreter.",
        )
    return Part(name, content, kind)


def multipart(parts: Sequence[Part]) -> bytes:
    """The MIME message of *parts*, in order. Messages among them give up their own parts."""
    flat = [piece for given in parts for piece in _flattened(given)]
    digest = hashlib.sha256()
    for piece in flat:
        digest.update(f"{piece.type}\0{piece.name}\0{len(piece.content)}\0".encode())
        digest.update(piece.content)
    boundary = f"==unclone-{digest.hexdigest()[:40]}=="
    out = [f'Content-Type: multipart/mixed; boundary="{boundary}"\nMIME-Version: 1.0\n'.encode()]
    for piece in flat:
        encoding, body = _encoded(piece.content)
        head = (
            f"\n--{boundary}\n"
            f'Content-Type: {piece.type}; charset="utf-8"\n'
            "MIME-Version: 1.0\n"
            f"Content-Transfer-Encoding: {encoding}\n"
            f'Content-Disposition: attachment; filename="{_file_name(piece.name)}"\n\n'
        )
        out += [head.encode(), body]
    return b"".join([*out, f"\n--{boundary}--\n".encode()])


def parts_of(content: bytes) -> Iterator[Part]:
    """The parts of a MIME message that are not containers themselves, decoded.

    Raises :class:`SeedError` for messages within messages without end.
    """
    from email import message_from_bytes, policy  # noqa: PLC0415 (most seeds have no message)

    try:
        message = message_from_bytes(content, policy=policy.compat32)
        pieces = list(message.walk())
    except RecursionError:
        raise SeedError("a MIME message that is nested too deeply to be read") from None
    leaves = (p for p in pieces if p.get_content_maintype() not in {"multipart", "message"})
    for number, piece in enumerate(leaves, 1):
        payload = piece.get_payload(decode=True)
        body = payload if isinstance(payload, bytes) else b""
        yield Part(piece.get_filename() or f"part-{number:03}", body, piece.get_content_type())


def _flattened(given: Part) -> Iterator[Part]:
    if given.type:
        yield given
    elif is_mime(given.content):
        yield from parts_of(given.content)
    else:
        yield part(given.name, given.content)


def _encoded(content: bytes) -> tuple[str, bytes]:
    lines = content.split(b"\n")
    readable = content.isascii() and b"\r" not in content and b"\0" not in content
    if readable and max(map(len, lines)) <= _LONGEST_LINE:
        return "7bit", content
    return "base64", base64.encodebytes(content).rstrip(b"\n")


def _file_name(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._+-]", "_", last)[:100] or "part"
