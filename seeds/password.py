"""Passwords: hashed here, in this process, before they go anywhere.

SHA-512 crypt (``$6$``) is what every distribution's libc and cloud-init understand; yescrypt is
newer than some guests. Python's ``crypt`` is gone since 3.13, and a program would see the password.

The salt is derived from whose password it is (the instance-id and the user name), so that the same
input gives the same seed. A salt is public and has to be different, not secret; it is *not* derived
from the password, which would give an attacker a quick way to try passwords.

References: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.6 (2016);
crypt(5) of libxcrypt.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from unclone.seeds.errors import SeedError

#: Ten times the default of passwd(1): 30 ms here, less at a login.
ROUNDS = 50_000

#: The specification's own limits.
_LEAST_ROUNDS, _MOST_ROUNDS = 1000, 999_999_999
_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HASHED = re.compile(r"\$(?:1|2[aby]|5|6|7|y|gy)\$[^\s:]{8,}")


#: No characters that look like others; 20 of these 54 are 115 bits.
_EASY = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def generated() -> str:
    """A new random password, which is never stored: only its hash is."""
    return "".join(secrets.choice(_EASY) for _ in range(20))


def hashed(password: str, whose: str, *, rounds: int = ROUNDS) -> str:
    """*password* as a crypt(5) hash; one that is a hash already is returned as it is.

    *whose* names the account on its machine (``web-01/admin``) and makes the salt.
    """
    if not password:
        raise SeedError("the password is empty", hint="Leave the password out to have none.")
    if _HASHED.fullmatch(password):
        return password
    if "\n" in password or "\0" in password:
        raise SeedError(
            "the password has more than one line", hint="Put only the password in the file."
        )
    digest = hashlib.sha256(f"unclone seed salt\0{whose}".encode()).digest()
    salt = "".join(_ALPHABET[byte % 64] for byte in digest[:16])
    return sha512_crypt(password.encode(), salt, rounds)


def sha512_crypt(password: bytes, salt: str, rounds: int = 5000) -> str:
    """The ``$6$`` hash of *password*; the salt's first 16 characters count.

    *rounds* is written into the hash unless it is the default, 5000.
    """
    rounds = min(max(rounds, _LEAST_ROUNDS), _MOST_ROUNDS)
    seasoning = salt[:16].encode("ascii")
    length = len(password)
    alternate = hashlib.sha512(password + seasoning + password).digest()
    first = hashlib.sha512(password + seasoning + _repeated(alternate, length))
    bits = length
    while bits:
        first.update(alternate if bits & 1 else password)
        bits >>= 1
    digest = first.digest()
    p = _repeated(hashlib.sha512(password * length).digest(), length)
    s = _repeated(hashlib.sha512(seasoning * (16 + digest[0])).digest(), len(seasoning))
    for number in range(rounds):
        odd = number & 1
        middle = (s if number % 3 else b"") + (p if number % 7 else b"")
        digest = hashlib.sha512((p if odd else digest) + middle + (digest if odd else p)).digest()
    prefix = "$6$" if rounds == 5000 else f"$6$rounds={rounds}$"
    return f"{prefix}{salt[:16]}${_encoded(digest)}"


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    """Drepper's order of the 64 bytes: triples that rotate through the three thirds."""
    out = []
    triple = (0, 21, 42)
    for _ in range(21):
        high, middle, low = (digest[at] for at in triple)
        out.append(_characters(high << 16 | middle << 8 | low, 4))
        triple = (triple[1] + 1, triple[2] + 1, triple[0] + 1)
    return "".join([*out, _characters(digest[63], 2)])


def _characters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * at & 63] for at in range(count))
