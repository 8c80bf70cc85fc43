"""What is read back of a key that was made: both halves, and nothing else passes."""

from __future__ import annotations

import base64
import subprocess
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import pytest

from unclone.sanitize.ssh.key import KeyFormat, NotAKeyError, decode, encode, generate, public_half

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.ssh.key import PublicKey

BEGIN, END = b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"\n-----END OPENSSH PRIVATE KEY-----\n"


@cache
def rsa() -> tuple[bytes, PublicKey]:
    """What the file of a small RSA key holds, without its text around it; and the public half."""
    key = generate("rsa", 1024)
    content = encode(key, KeyFormat.OPENSSH)
    assert decode(content, KeyFormat.OPENSSH) == public_half(key)
    return base64.b64decode(b"".join(content.split(b"\n")[1:-2])), public_half(key)


def read(body: bytes) -> PublicKey:
    return decode(BEGIN + base64.b64encode(body) + END, KeyFormat.OPENSSH)


@pytest.mark.slow
def test_of_an_rsa_key_every_byte_counts() -> None:
    body, key = rsa()
    assert read(body) == key
    for at in range(len(body)):
        with suppress(NotAKeyError):
            changed = read(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
            assert changed != key, f"byte {at}"


@pytest.mark.parametrize("left", [1, 8, 100, 300])
def test_of_an_rsa_key_nothing_may_be_missing(left: int) -> None:
    with pytest.raises(NotAKeyError):
        read(rsa()[0][:-left])


def test_behind_an_rsa_key_there_is_nothing() -> None:
    with pytest.raises(NotAKeyError):
        read(rsa()[0] + b"\1")


def test_the_halves_of_two_rsa_keys_do_not_fit() -> None:
    body, _ = rsa()
    other = base64.b64decode(
        b"".join(encode(generate("rsa", 1024), KeyFormat.OPENSSH).split(b"\n")[1:-2])
    )
    modulus = body.index(b"ssh-rsa") + 18
    with pytest.raises(NotAKeyError, match="do not fit"):
        read(body[:modulus] + other[modulus : modulus + 129] + body[modulus + 129 :])


def test_ssh_keygen_reads_the_same(tmp_path: Path) -> None:
    body, key = rsa()
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_bytes(BEGIN + base64.b64encode(body) + END)
    done = subprocess.run(["ssh-keygen", "-y", "-f", file], capture_output=True, check=False)
    assert done.stdout.split()[1].decode() == key.text, done.stderr
