"""The password hash: what other implementations of the same specification say."""

from __future__ import annotations

import subprocess

import pytest

from unclone.seeds.errors import SeedError
from unclone.seeds.password import hashed, sha512_crypt

PASSWORDS = ["a", "ab", "hunter2", "x" * 63, "x" * 64, "x" * 65, "y" * 200, "pässwörd ☃"]


@pytest.mark.parametrize("password", PASSWORDS, ids=len)
@pytest.mark.parametrize("salt", ["a", "saltstring", "0123456789abcdef"])
def test_openssl_says_the_same(password: str, salt: str) -> None:
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin", "-salt", salt],
        input=f"{password}\n".encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().strip() == sha512_crypt(password.encode(), salt)


def test_other_rounds_are_written_down() -> None:
    made = sha512_crypt(b"hunter2", "saltstring", 1234)
    assert made.startswith("$6$rounds=1234$saltstring$")
    assert made != sha512_crypt(b"hunter2", "saltstring", 1235)


@pytest.mark.parametrize(("asked", "used"), [(1, 1000), (999, 1000), (1001, 1001)])
def test_too_few_rounds_are_raised(asked: int, used: int) -> None:
    assert sha512_crypt(b"x", "s", asked).startswith(f"$6$rounds={used}$")


def test_salts_differ_and_do_not_depend_on_the_password() -> None:
    made = [hashed("one", "web-01/a", rounds=1000), hashed("two", "web-01/a", rounds=1000)]
    other = hashed("one", "web-02/a", rounds=1000)
    salts = [text.split("$")[3] for text in (*made, other)]
    assert made[0] != made[1]
    assert salts[0] == salts[1] != salts[2]
    assert len(salts[0]) == 16


def test_the_same_input_gives_the_same_hash() -> None:
    assert hashed("x", "w/a", rounds=1000) == hashed("x", "w/a", rounds=1000)


@pytest.mark.parametrize(
    "given",
    [
        "$6$rounds=5000$abcdefgh$" + "x" * 86,
        "$y$j9T$abcdefgh$" + "x" * 43,
        "$2b$12$" + "x" * 53,
        "$1$abcdefgh$" + "x" * 22,
    ],
)
def test_a_hash_is_left_alone(given: str) -> None:
    assert hashed(given, "web-01/admin") == given


@pytest.mark.parametrize("given", ["$6$", "$6$a b$cccccccccc", "$HOME$xxxxxxxxxxx"])
def test_what_only_begins_like_a_hash_is_hashed(given: str) -> None:
    assert hashed(given, "web-01/admin", rounds=1000).startswith("$6$rounds=1000$")


@pytest.mark.parametrize(
    ("given", "words"), [("", "empty"), ("a\nb", "more than one line"), ("a\0b", "one line")]
)
def test_what_cannot_be_a_password_is_refused_without_showing_it(given: str, words: str) -> None:
    with pytest.raises(SeedError, match=words) as refused:
        hashed(given, "web-01/admin")
    assert refused.value.hint
