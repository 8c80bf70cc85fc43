"""Splices become replacements that do the same, whatever repeats in the file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unclone.sanitize.actions.replace_text import replaced
from unclone.sanitize.mac_pins.pins import Splice
from unclone.sanitize.mac_pins.replacements import replacements, spliced


@st.composite
def texts_with_splices(draw: st.DrawFn) -> tuple[str, list[Splice]]:
    text = draw(st.text("ab\n\r", min_size=1, max_size=60))
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pairs = zip(places[::2], places[1::2], strict=False)
    return text, [Splice(a, b, draw(st.sampled_from(["", "x", "a", "b\n"]))) for a, b in pairs]


@pytest.mark.slow
@settings(max_examples=500)
@given(texts_with_splices())
def test_replacing_does_what_splicing_does(case: tuple[str, list[Splice]]) -> None:
    text, splices = case
    pairs = replacements(text, splices)
    assert replaced(text, pairs) == spliced(text, splices)
    assert all(text.count(one["old"]) == 1 for one in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("repeated", ["b\n", "b\na\n", "a\n" * 80 + "b\n"])
def test_thousands_of_equal_places(repeated: str) -> None:
    """Hundreds of places that look alike; once, this took hours."""
    text = repeated * 2000
    splices = [Splice(m.start(), m.end(), "") for m in re.finditer("b\n", text)]
    pairs = replacements(text, splices)
    assert len(pairs) == 1
    assert replaced(text, pairs) == spliced(text, splices) == text.replace("b\n", "")


def test_one_place_far_from_anything_that_tells_it_from_another() -> None:
    text = "x\n" + "a\n" * 300 + "b\n" + "a\n" * 300 + "b\n"
    second = text.rindex("b")
    (pair,) = replacements(text, [Splice(second, second + 2, "")])
    assert replaced(text, [pair]) == text[:second]


@pytest.mark.parametrize(
    ("text", "gone", "pairs"),
    [
        ("a\nb\nc\n", "b\n", [("\nb\n", "\n")]),
        ("b\na\n", "b\n", [("b\n", "")]),
        ("a\nb", "b", [("\nb", "\n")]),
        ("#b\nb\n", "b\n", [("\nb\n", "\n")]),
        ("x\nb\ny\nb\n", "b\n", [("x\nb\n", "x\n")]),
    ],
    ids=["middle", "first", "last", "after its comment", "the first of two"],
)
def test_as_little_as_needed(text: str, gone: str, pairs: list[tuple[str, str]]) -> None:
    start = 0 if text.startswith(gone) else text.index(f"\n{gone}") + 1
    made = replacements(text, [Splice(start, start + len(gone), "")])
    assert [(one["old"], one["new"]) for one in made] == pairs
