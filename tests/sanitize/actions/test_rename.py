"""``rename``: never replaces anything, and is done when only the new name is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import guest_at, plant
from unclone.sanitize.actions.rename import Rename
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

WANTED = Change("step", "rename", "/boot/old", "why", details={"to": "/boot/new"})


@pytest.mark.parametrize(
    "tree", [{"/boot/old": "x"}, {"/boot/old/deep/file": "x"}, {"/boot/old": "-> nowhere"}]
)
def test_rename(tmp_path: Path, tree: dict[str, str | bytes | None]) -> None:
    plant(tmp_path, tree)
    guest = guest_at(tmp_path)
    assert "still has its old name" in Rename().verify(guest, WANTED, "")
    Rename().apply(guest, WANTED)
    assert Rename().verify(guest, WANTED, "") == ""
    Rename().apply(guest, WANTED)
    assert guest.list("/boot") == ["new"]


def test_a_taken_name_is_not_replaced(tmp_path: Path) -> None:
    plant(tmp_path, {"/boot/old": "x", "/boot/new": "y"})
    with pytest.raises(FileExistsError):
        Rename().apply(guest_at(tmp_path), WANTED)
    assert (tmp_path / "boot/new").read_text() == "y"


def test_something_has_to_be_there(tmp_path: Path) -> None:
    plant(tmp_path, {"/boot": None})
    guest = guest_at(tmp_path)
    with pytest.raises(FileNotFoundError):
        Rename().apply(guest, WANTED)
    assert Rename().verify(guest, WANTED, "") == "/boot/new is not there"
