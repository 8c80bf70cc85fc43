"""Patterns: the same as ``fnmatch``, the short way or the long one."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclone.images.globs import is_pattern, matcher

LETTERS = "ab.\n"


@given(
    st.text(LETTERS + "*?[]!", min_size=1, max_size=7).filter(is_pattern),
    st.text(LETTERS + "*[", max_size=8),
)
def test_the_same_as_fnmatch(pattern: str, name: str) -> None:
    assert bool(matcher(pattern)(name)) == fnmatchcase(name, pattern)


@pytest.mark.parametrize("pattern", ["*", "a*", "*a", "a*a", "aa*aa"])
@pytest.mark.parametrize("name", ["", "a", "aa", "aaa", "aaaa", "ab", "ba", "a\n"])
def test_one_star(pattern: str, name: str) -> None:
    assert bool(matcher(pattern)(name)) == fnmatchcase(name, pattern)
