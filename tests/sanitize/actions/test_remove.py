from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

REMOVE = ACTIONS["remove"]


def change(target: str) -> Change:
    return Change("step", "remove", target, "why")


@pytest.mark.parametrize(
    "files",
    [{"/a/b": "file"}, {"/a/b": None}, {"/a/b/c/d": "deep"}, {"/a/b": "-> /a/c"}],
    ids=["file", "empty folder", "tree", "symlink"],
)
def test_removes_and_verifies(tmp_path: Path, files: dict[str, str | bytes | None]) -> None:
    plant(tmp_path, {"/a/c": "stays", **files})
    assert REMOVE.verify(guest_at(tmp_path), change("/a/b"), "") == "/a/b is still there"

    assert REMOVE.apply(guest_at(tmp_path), change("/a/b")) == ""

    assert REMOVE.verify(guest_at(tmp_path), change("/a/b"), "") == ""
    assert (tmp_path / "a/c").read_text() == "stays"


def test_what_is_gone_already_is_no_failure(tmp_path: Path) -> None:
    REMOVE.apply(guest_at(tmp_path), change("/not/there"))
    assert REMOVE.verify(guest_at(tmp_path), change("/not/there"), "") == ""


def test_a_mount_point_stays_but_not_what_is_in_it(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/x/data/old": "", "/var/x/data/deep/old": "", "/var/x/other": ""})
    guest = Guest(
        TreeVolumes(tmp_path),
        Layout((Mount("a", "/", "tree"), Mount("b", "/var/x/data", "tree"))),
    )
    assert "still there" in REMOVE.verify(guest, change("/var/x"), "")

    REMOVE.apply(guest, change("/var/x"))

    assert REMOVE.verify(guest, change("/var/x"), "") == ""
    assert [p.name for p in (tmp_path / "var/x").rglob("*")] == ["data"]
    plant(tmp_path, {"/var/x/data/new": ""})
    fresh = Guest(TreeVolumes(tmp_path), guest.layout)
    assert REMOVE.verify(fresh, change("/var/x"), "") == "/var/x/data/new is still there"
