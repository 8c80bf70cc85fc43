"""A key comes from a file, never from the command line."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import UsageError
from unclone.sanitize.identities.keys import KEY_LIMIT, read_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"correct horse battery staple"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_key_is_read_without_the_lines_end(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "key").write_bytes(KEY + end)
    assert read_key(str(tmp_path / "key")) == KEY


def test_a_key_is_read_from_standard_input() -> None:
    program = "from unclone.sanitize.identities.keys import read_key; print(len(read_key('-')))"
    done = subprocess.run(
        [sys.executable, "-c", program], input=KEY, capture_output=True, check=False
    )
    assert done.stdout == b"28\n", done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 bytes and is too short"),
        (b"short\n", "5 bytes and is too short"),
        (b"k" * (KEY_LIMIT + 1), "too long"),
    ],
    ids=["empty", "short", "long"],
)
def test_a_file_that_holds_no_key(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_key(str(tmp_path / "key"))


@pytest.mark.parametrize(("name", "words"), [("key", "No such file"), (".", "Is a directory")])
def test_a_key_file_that_cannot_be_read(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"cannot read the key in .*: {words}"):
        read_key(str(tmp_path / name))
