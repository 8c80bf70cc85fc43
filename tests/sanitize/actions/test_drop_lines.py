from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tree import guest_at, plant
from unclone.images.guest import READ_LIMIT
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.actions.drop_lines import split
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

DROP = ACTIONS["drop-lines"]
PATH = "/etc/ifcfg-eth0"


def change(*lines: str) -> Change:
    return Change("step", "drop-lines", PATH, "why", details={"lines": list(lines)})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"A=1\nHWADDR=x\nB=2\n", b"A=1\nB=2\n"),
        (b"A=1\r\nHWADDR=x\r\nB=2\r\n", b"A=1\r\nB=2\r\n"),
        (b"HWADDR=x\n", b""),
        (b"A=1\nHWADDR=x", b"A=1\n"),
        (b"HWADDR=x\nA=1", b"A=1"),
        (b"#HWADDR=x\nOLD_HWADDR=x\n", b"#HWADDR=x\nOLD_HWADDR=x\n"),
        (b"\xff\xfe\n\x00\nHWADDR=\xff\n\n\n", b"\xff\xfe\n\x00\n\n\n"),
        ("A\u2028HWADDR=x\n".encode(), "A\u2028HWADDR=x\n".encode()),
        (b"A\x0bB\rHWADDR=x\n", b"A\x0bB\rHWADDR=x\n"),
        (b"", b""),
    ],
    ids=[
        "in the middle",
        "CRLF",
        "the only line",
        "no final newline: dropped",
        "no final newline: kept",
        "the whole line has to match",
        "not text",
        "line separators of Unicode end no line",
        "a lone carriage return ends no line",
        "empty",
    ],
)
def test_drops_lines_and_no_other_byte(tmp_path: Path, before: bytes, after: bytes) -> None:
    plant(tmp_path, {PATH: before})
    problem = DROP.verify(guest_at(tmp_path), change("HWADDR=.*"), "")
    assert bool(problem) == (before != after)

    assert DROP.apply(guest_at(tmp_path), change("HWADDR=.*")) == ""

    assert (tmp_path / PATH[1:]).read_bytes() == after
    assert DROP.verify(guest_at(tmp_path), change("HWADDR=.*"), "") == ""


def test_one_of_several_expressions_is_enough() -> None:
    assert split(b"a\nb\nc\n", ["a", "c"]) == (b"b\n", 2)


def test_keeps_inode_and_mode(tmp_path: Path) -> None:
    plant(tmp_path, {PATH: "HWADDR=x\nA=1\n"})
    (tmp_path / PATH[1:]).chmod(0o600)
    before = (tmp_path / PATH[1:]).stat()
    DROP.apply(guest_at(tmp_path), change("HWADDR=.*"))
    after = (tmp_path / PATH[1:]).stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_verify_counts_what_is_left(tmp_path: Path) -> None:
    plant(tmp_path, {PATH: "HWADDR=x\nHWADDR=y\n"})
    problem = DROP.verify(guest_at(tmp_path), change("HWADDR=.*"), "")
    assert problem == f"{PATH} still has 2 of the lines"


def test_a_file_that_is_gone_already_is_no_failure(tmp_path: Path) -> None:
    DROP.apply(guest_at(tmp_path), change("x"))
    assert DROP.verify(guest_at(tmp_path), change("x"), "") == ""


def test_a_file_too_big_for_memory_is_an_error_not_a_cut(tmp_path: Path) -> None:
    plant(tmp_path, {PATH: "x\n"})
    with (tmp_path / PATH[1:]).open("r+b") as file:
        file.truncate(READ_LIMIT + 1)
    with pytest.raises(OSError, match="too large") as caught:
        DROP.apply(guest_at(tmp_path), change("x"))
    assert caught.value.errno == errno.EFBIG
    assert (tmp_path / PATH[1:]).stat().st_size == READ_LIMIT + 1


@given(st.binary())
def test_what_matches_nothing_survives_byte_for_byte(content: bytes) -> None:
    assert split(content, ["no line is this one"]) == (content, 0)
