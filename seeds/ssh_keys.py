"""SSH public keys: read from a file or an argument, refused when they are something else.

References: RFC 4253 6.6 (the blob begins with the name of its type), sshd(8) AUTHORIZED_KEYS,
OpenSSH ``PROTOCOL.certkeys`` (type, nonce, key, serial, kind).
"""

from __future__ import annotations

import base64
import binascii
from itertools import pairwise
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


_CERTIFICATE = "-cert-v01@openssh.com"
#: How many fields the key itself has in a certificate, behind its type and the nonce.
_KEY_FIELDS = {"ssh-ed25519": 1, "ssh-rsa": 2, "sk-ssh-ed25519": 2, "sk-ecdsa-sha2-nistp256": 3}
_CERTIFICATE_KINDS = {1: "a user's certificate", 2: "a host's certificate"}


def public_keys(text: str, where: str) -> tuple[str, ...]:
    """The keys in *text*, one per line, as they are; comments and empty lines are left out.

    Raises :class:`SeedError`, without quoting the text, when it holds a private key or no key.
    """
    if "PRIVATE KEY" in text:
        raise SeedError(
            f"{where} holds a private key; a seed must never", hint="Give the .pub file beside it."
        )
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    for key in keys:
        certificate = _certificate(key.split())
        if certificate:
            raise SeedError(
                f"{where} holds {certificate}, which is not a public key",
                hint="Give the key itself (NAME.pub, not NAME-cert.pub): sshd accepts a user's "
                "certificate by its authority, TrustedUserCAKeys in sshd_config.",
            )
        if not _is_public_key(key.split()):
            raise SeedError(
                f"{where} holds a line that is no SSH public key",
                hint="A key looks like: ssh-ed25519 AAAAC3Nza... name@host",
            )
    if not keys:
        raise SeedError(f"{where} holds no SSH public key", hint="Give a .pub file.")
    return keys


def looks_like_a_key(text: str) -> bool:
    """Whether an argument is a key itself and not the name of a file that holds one."""
    first = text.split(" ", 1)[0]
    return first in TYPES or _CERTIFICATE in first or " ssh-" in text or "PRIVATE KEY" in text


def _certificate(words: Sequence[str]) -> str:
    """What kind of certificate a line is, with its type; empty when it is none."""
    for kind, blob in pairwise(words):
        if not kind.endswith(_CERTIFICATE):
            continue
        try:
            rest = base64.b64decode(blob, validate=True)
        except binascii.Error:
            return f"an SSH certificate ({kind})"
        fields = _KEY_FIELDS.get(kind.removesuffix(_CERTIFICATE), 2)
        for _ in range(2 + fields):  # type, nonce, key
            rest = rest[4 + int.from_bytes(rest[:4], "big") :]
        what = _CERTIFICATE_KINDS.get(int.from_bytes(rest[8:12], "big"), "an SSH certificate")
        return f"{what} ({kind})"
    return ""


def _is_public_key(words: Sequence[str]) -> bool:
    # Options may come before the type, and may hold spaces in quotes.
    for kind, blob in pairwise(words):
        if kind in TYPES:
            try:
                raw = base64.b64decode(blob, validate=True)
            except binascii.Error:
                return False
            length = int.from_bytes(raw[:4], "big")
            return raw[4 : 4 + length] == kind.encode() and len(raw) > 4 + length
    return False
