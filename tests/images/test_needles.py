"""Many strings at once: exactly those that a search for each would find."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclone.images.needles import Needles


@given(
    st.lists(st.text("abcdef0123-", min_size=1, max_size=9).map(str.encode), max_size=8),
    st.lists(st.text("abcdef0123-xyz\0\1 ", max_size=40).map(str.encode), max_size=60),
)
def test_the_same_as_one_by_one(needles: list[bytes], pieces: list[bytes]) -> None:
    text = b" ".join([*pieces, b"." * 600])
    wanted = Needles(needles)
    assert wanted.are_in(text) == any(needle in text for needle in needles)
    likely = wanted.likely(text)
    assert [needle in likely for needle in needles] == [needle in text for needle in needles]


@pytest.mark.parametrize("needles", [[], [b""], [bytes(range(256))], [b"\0\1", b"\1\0"]])
def test_odd_ones(needles: list[bytes]) -> None:
    text = random.Random(1).randbytes(5000) + b"".join(needles) + bytes(5000)
    wanted = Needles(needles)
    assert wanted.are_in(text) == any(needle in text for needle in needles)


def test_little_is_left_of_a_program() -> None:
    program = random.Random(1).randbytes(1_000_000)
    wanted = Needles([b"0123abcd", b"4567cdef"])
    assert len(wanted.likely(program)) < 1000
    assert wanted.are_in(program[:700_000] + b"0123abcd" + program[700_000:])
