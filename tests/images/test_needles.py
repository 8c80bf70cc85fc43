"""Many strings at once: exactly those that a search for each would find."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclone.images.needles import Group, Needles


@pytest.mark.slow
@given(
    st.lists(
        st.text("abcdef0123-", min_size=1, max_size=9).map(str.encode)
        | st.text("aZ+/=", min_size=15, max_size=18).map(str.encode)
        | st.binary(min_size=1, max_size=3),
        max_size=8,
    ),
    st.lists(st.text("abcdef0123-xyz\0\1 ", max_size=40).map(str.encode), max_size=60),
)
def test_the_same_as_one_by_one(needles: list[bytes], pieces: list[bytes]) -> None:
    text = b" ".join([*pieces, b"." * 600, *needles[::2]])
    wanted = Needles(needles)
    assert wanted.are_in(text) == any(needle in text for needle in needles)
    assert wanted.found_in(text) == [needle for needle in needles if needle in text]


@pytest.mark.parametrize("needles", [[], [b""], [bytes(range(256))], [b"\0\1", b"\1\0"]])
def test_odd_ones(needles: list[bytes]) -> None:
    text = random.Random(1).randbytes(5000) + b"".join(needles) + bytes(5000)
    wanted = Needles(needles)
    assert wanted.are_in(text) == any(needle in text for needle in needles)
    assert wanted.found_in(text) == [needle for needle in needles if needle in text]
    assert wanted.found_in(b"") == [needle for needle in needles if not needle]


def test_little_is_left_of_a_program() -> None:
    program = random.Random(1).randbytes(1_000_000)
    wanted = Needles([b"0123abcd", b"4567cdef"])
    assert len(Group([b"0123abcd", b"4567cdef"]).likely(program)) < 1000
    assert wanted.are_in(program[:700_000] + b"0123abcd" + program[700_000:])
