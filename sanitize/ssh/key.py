"""SSH host keys as files: what a private key file holds, and new ones of the same kind.

Only the public half of an existing key is ever looked at. New key material lives in memory until
it is written into the guest, and appears in no plan, report or log.

References: OpenSSH ``PROTOCOL.key`` (the ``openssh-key-v1`` container), RFC 4253 section 6.6 and
RFC 5656 section 3.1 (public key blobs), RFC 8709 (Ed25519), dropbear ``signkey.c``, ``rsa.c``,
``ecdsa.c``, ``ed25519.c`` at DROPBEAR_2022.83 (private key files: the blob, then private numbers).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

# The cryptography library takes as long to load as much of a run: only who needs it imports it.

#: Bytes of the largest file that can be a host key: 16384 bit RSA takes about 13 000.
KEY_LIMIT = 32 * 1024

_CONTAINER = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END")

#: Bits of a new RSA key: no weaker than ssh-keygen's default, no slower than seconds to make.
RSA_MINIMUM, RSA_MAXIMUM = 3072, 8192


class KeyFormat(StrEnum):
    """How a private key file is written."""

    OPENSSH = "openssh"
    DROPBEAR = "dropbear"


class NotAKeyError(ValueError):
    """A file is not a private key that can be read; the text says what it is instead."""


class EncryptedKeyError(NotAKeyError):
    """A private key protected by a passphrase: an agent serves it, and it cannot be replaced."""


class PublicKey(NamedTuple):
    """The public half. ``type`` is ``rsa``, ``ecdsa``, ``ed25519``, ``dsa`` or the full name."""

    type: str
    bits: int
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` prints it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"

    @property
    def text(self) -> str:
        """The blob as ``.pub`` and ``known_hosts`` spell it."""
        return base64.b64encode(self.blob).decode()


def read_private(content: bytes, form: KeyFormat) -> PublicKey:
    """The public half of the private key file *content*. Raises :class:`NotAKeyError`."""
    if len(content) >= KEY_LIMIT:
        raise NotAKeyError(f"is larger than {KEY_LIMIT // 1024} KiB")
    if form is KeyFormat.DROPBEAR:
        return _read_dropbear(content)
    if container := _CONTAINER.search(content):
        return _read_container(container[1])
    if b"PRIVATE KEY-----" in content:
        return _read_pem(content)
    raise NotAKeyError("is not a private key" if content else "is empty")


def read_public(line: str) -> PublicKey:
    """The key in a line of a ``.pub`` file. Raises :class:`NotAKeyError`."""
    words = line.split()
    try:
        return parse_blob(base64.b64decode(words[1], validate=True))
    except (IndexError, binascii.Error, ValueError) as error:
        raise NotAKeyError("is not a public key") from error


def parse_blob(blob: bytes) -> PublicKey:
    """The key in a public key *blob*. Raises :class:`NotAKeyError`."""
    reader = _Reader(blob)
    name = reader.string().decode("ascii", "replace")
    if name == "ssh-rsa":
        reader.string()
        return PublicKey("rsa", int.from_bytes(reader.string(), "big").bit_length(), blob)
    if name == "ssh-ed25519":
        return PublicKey("ed25519", 256, blob)
    if name == "ssh-dss":
        return PublicKey("dsa", int.from_bytes(reader.string(), "big").bit_length(), blob)
    if name in _CURVES:
        return PublicKey("ecdsa", _CURVES[name], blob)
    if not re.fullmatch(r"[a-z0-9@.-]{3,64}", name):
        raise NotAKeyError("is not a public key")
    return PublicKey(name, 0, blob)


def generate(kind: str, bits: int) -> PrivateKey:
    """A new key of type *kind* (``rsa``, ``ecdsa``, ``ed25519``) and *bits* size."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 (slow to load, seldom needed)

    if kind == "rsa":
        return rsa.generate_private_key(65537, bits)
    if kind == "ecdsa":
        return ec.generate_private_key(_curve(bits))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"no key of type {kind} can be made")


def can_generate(kind: str, bits: int) -> bool:
    """Whether :func:`generate` takes these."""
    return kind in {"rsa", "ed25519"} or (kind == "ecdsa" and bits in _CURVES.values())


def public_half(key: PrivateKey) -> PublicKey:
    """The public half of *key*."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 (slow to load, seldom needed)
        Encoding,
        PublicFormat,
    )

    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return parse_blob(base64.b64decode(line.split()[1]))


def encode(key: PrivateKey, form: KeyFormat) -> bytes:
    """The private key file for *key*."""
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa  # noqa: PLC0415 (slow to load, seldom needed)
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 (slow to load, seldom needed)
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    if form is KeyFormat.OPENSSH:
        return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    blob = public_half(key).blob
    if isinstance(key, ed25519.Ed25519PrivateKey):
        name, point = _fields(blob)
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return _string(name) + _string(seed + point)
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return blob + b"".join(_mpint(n) for n in (numbers.d, numbers.p, numbers.q))
    return blob + _mpint(key.private_numbers().private_value)


def decode(content: bytes, form: KeyFormat) -> PublicKey:
    """Parse a private key file of our own making whole, and derive its public half from it.

    Raises :class:`NotAKeyError` when the private half is not there or does not fit.
    """
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 (slow to load, seldom needed)
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415 (slow to load, seldom needed)
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key  # noqa: PLC0415 (slow to load, seldom needed)

    if form is KeyFormat.DROPBEAR:
        return _read_dropbear(content)
    if (public := read_private(content, form)).type == "rsa":
        _require_private_rsa(content, public)
        return public
    try:
        key = load_ssh_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotAKeyError(f"is not a private key: {error}") from error
    if not isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    ):
        raise NotAKeyError("is not a host key")
    return public_half(key)


def _require_private_rsa(content: bytes, public: PublicKey) -> None:
    """Raise :class:`NotAKeyError` unless *content* also holds the private half of *public*.

    The library would test the factors for being prime, which takes longer than most of a run. Of
    the modulus that was made there are no other factors.
    """
    container = _CONTAINER.search(content)
    outer = _Reader(_contained(container[1]) if container else b"")
    plain = [outer.string() for _ in range(3)] == [b"none", b"none", b""] and outer.number() == 1
    outer.string()
    reader = _Reader(outer.string())
    plain &= not outer.rest()
    same = reader.number() == reader.number()
    name, *numbers = (reader.string() for _ in range(7))
    modulus, exponent, secret, inverse, p, q = (int.from_bytes(n, "big") for n in numbers)
    reader.string()  # a comment, and then 1, 2, 3 ... up to a multiple of eight
    fits = (
        [name, numbers[1], numbers[0]] == _fields(public.blob)
        and min(p, q) > 1
        and p * q == modulus
        and all(exponent * secret % (prime - 1) == 1 for prime in (p, q))
        and inverse * q % p == 1
    )
    padding = reader.rest()
    if not plain or not same or not fits or padding != bytes(range(1, len(padding) + 1)):
        raise NotAKeyError("is a private key whose halves do not fit")


def _contained(text: bytes) -> bytes:
    """What is in the container *text*, without its magic."""
    try:
        body = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise NotAKeyError("is a damaged private key") from error
    magic = b"openssh-key-v1\0"
    if not body.startswith(magic):
        raise NotAKeyError("is a damaged private key")
    return body[len(magic) :]


def _read_container(text: bytes) -> PublicKey:
    reader = _Reader(_contained(text))
    cipher = reader.string()
    reader.string()
    reader.string()
    if reader.number() != 1:
        raise NotAKeyError("does not hold exactly one key")
    key = parse_blob(reader.string())
    if cipher != b"none":
        raise EncryptedKeyError("is protected by a passphrase")
    return key


def _read_pem(content: bytes) -> PublicKey:
    """Keys as ssh-keygen wrote them before OpenSSH 7.8 (PKCS #1, SEC 1), and PKCS #8."""
    from cryptography import __version__ as version  # noqa: PLC0415 (slow to load, seldom needed)
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 (slow to load, seldom needed)
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 (slow to load, seldom needed)
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    # Version 38 validates RSA keys always, and does not know the option.
    new = int(version.partition(".")[0]) >= 39
    options = {"unsafe_skip_rsa_key_validation": True} if new else {}
    if b"ENCRYPTED" in content:
        raise EncryptedKeyError("is protected by a passphrase")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A hostile modulus must not be tested for primality: that can take hours.
            key = load_pem_private_key(content, None, **options)
            line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotAKeyError("is a private key that cannot be read") from error
    return read_public(line.decode("ascii"))


def _read_dropbear(content: bytes) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # noqa: PLC0415 (slow to load, seldom needed)
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 (slow to load, seldom needed)
        Encoding,
        PublicFormat,
    )

    reader = _Reader(content)
    name = reader.string()
    if name == b"ssh-ed25519":
        seed, point = (pair := reader.string())[:32], pair[32:]
        if len(pair) != 64:
            raise NotAKeyError("is not a dropbear key")
        own = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
        if own.public_bytes(Encoding.Raw, PublicFormat.Raw) != point:
            raise NotAKeyError("is a dropbear key whose halves do not fit")
        return parse_blob(_string(name) + _string(point))
    fields = {b"ssh-rsa": 2, b"ssh-dss": 4}.get(name, 2)
    if name not in {b"ssh-rsa", b"ssh-dss"} and name.decode("ascii", "replace") not in _CURVES:
        raise NotAKeyError("is not a dropbear key")
    for _ in range(fields):
        reader.string()
    key = parse_blob(content[: reader.position])
    secret = int.from_bytes(reader.string(), "big")
    if key.type == "ecdsa":
        try:
            made = public_half(ec.derive_private_key(secret, _curve(key.bits)))
        except ValueError as error:  # zero, or not below the order of the curve
            raise NotAKeyError("is a dropbear key without its private half") from error
        if made != key:
            raise NotAKeyError("is a dropbear key whose halves do not fit")
    if key.type == "rsa":
        modulus = int.from_bytes(_fields(key.blob)[2], "big")
        factors = [int.from_bytes(reader.string(), "big") for _ in range(2)]
        if factors[0] * factors[1] != modulus:
            raise NotAKeyError("is a dropbear key whose halves do not fit")
    return key


def _fields(blob: bytes) -> list[bytes]:
    reader = _Reader(blob)
    fields = []
    while reader.position < len(blob):
        fields.append(reader.string())
    return fields


class _Reader:
    """Reads length-prefixed fields; every shortfall is a :class:`NotAKeyError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        return self._take(self.number())

    def rest(self) -> bytes:
        return self._data[self.position :]

    def _take(self, count: int) -> bytes:
        taken = self._data[self.position : self.position + count]
        if len(taken) != count:
            raise NotAKeyError("is a damaged key")
        self.position += count
        return taken


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _mpint(number: int) -> bytes:
    # RFC 4251 section 5: two's complement, so a leading zero byte where the top bit is set.
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _curve(bits: int) -> ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 (slow to load, seldom needed)

    curves: Mapping[int, type[ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
        256: ec.SECP256R1,
        384: ec.SECP384R1,
        521: ec.SECP521R1,
    }
    return curves[bits]()


_CURVES: Mapping[str, int] = {
    "ecdsa-sha2-nistp256": 256,
    "ecdsa-sha2-nistp384": 384,
    "ecdsa-sha2-nistp521": 521,
}
