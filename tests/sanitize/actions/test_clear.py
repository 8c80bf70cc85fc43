from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

CLEAR = ACTIONS["clear"]
CHANGE = Change("step", "clear", "/var/spool", "why")


def test_empties_the_folder_and_keeps_it(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/spool/a": "", "/var/spool/b/c": "", "/var/spool/d": "-> /etc"})
    plant(tmp_path, {"/etc/stays": ""})
    (tmp_path / "var/spool").chmod(0o1733)
    before = (tmp_path / "var/spool").stat()
    assert CLEAR.verify(guest_at(tmp_path), CHANGE, "") == "/var/spool/a is still there"

    assert CLEAR.apply(guest_at(tmp_path), CHANGE) == ""

    assert CLEAR.verify(guest_at(tmp_path), CHANGE, "") == ""
    after = (tmp_path / "var/spool").stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (tmp_path / "etc/stays").exists()


def test_a_mount_point_inside_stays(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/spool/disk/old": "", "/var/spool/a": ""})
    layout = Layout((Mount("a", "/", "tree"), Mount("b", "/var/spool/disk", "tree")))
    guest = Guest(TreeVolumes(tmp_path), layout)

    CLEAR.apply(guest, CHANGE)

    assert CLEAR.verify(guest, CHANGE, "") == ""
    assert [p.name for p in (tmp_path / "var/spool").rglob("*")] == ["disk"]


def test_a_folder_that_is_gone_already_is_no_failure(tmp_path: Path) -> None:
    CLEAR.apply(guest_at(tmp_path), CHANGE)
    assert CLEAR.verify(guest_at(tmp_path), CHANGE, "") == ""
