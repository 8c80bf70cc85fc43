"""Values inside of a text file: emptied, and seen when they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

BLANK = ACTIONS["blank"]
PATH = "/etc/agent.json"
CHANGE = Change("step", "blank", PATH, "why", details={"values": ['"key"\\s*:\\s*"([^"]*)"']})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"key": "abc", "url": "u"}', b'{"key": "", "url": "u"}'),
        (b'{"key":"a",\r\n"key" :\n"b"}\xff', b'{"key":"",\r\n"key" :\n""}\xff'),
        (b'{"key": ""}', b'{"key": ""}'),
        (b'{"keys": "abc"}', b'{"keys": "abc"}'),
        (b"", b""),
    ],
)
def test_empties_values_and_no_other_byte(tmp_path: Path, before: bytes, after: bytes) -> None:
    plant(tmp_path, {PATH: before})
    assert bool(BLANK.verify(guest_at(tmp_path), CHANGE, "")) == (before != after)
    for _ in range(2):
        assert BLANK.apply(guest_at(tmp_path), CHANGE) == ""
        assert (tmp_path / PATH[1:]).read_bytes() == after
    assert BLANK.verify(guest_at(tmp_path), CHANGE, "") == ""


def test_what_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert BLANK.apply(guest_at(tmp_path), CHANGE) == ""
    assert BLANK.verify(guest_at(tmp_path), CHANGE, "") == ""


def test_says_how_many_are_left_and_not_which(tmp_path: Path) -> None:
    plant(tmp_path, {PATH: '"key": "secret", "key": "secret"'})
    problem = BLANK.verify(guest_at(tmp_path), CHANGE, "")
    assert problem == f"{PATH} still has 2 of the values"
