from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tree import guest_at, plant
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

TRUNCATE = ACTIONS["truncate"]
CHANGE = Change("step", "truncate", "/var/log/wtmp", "why")


def test_empties_the_file_and_keeps_it(tmp_path: Path) -> None:
    plant(tmp_path, {"/var/log/wtmp": b"\0" * 384})
    file = tmp_path / "var/log/wtmp"
    file.chmod(0o664)
    before = file.stat()
    message = "/var/log/wtmp still holds 384 bytes"
    assert TRUNCATE.verify(guest_at(tmp_path), CHANGE, "") == message

    assert TRUNCATE.apply(guest_at(tmp_path), CHANGE) == ""

    assert TRUNCATE.verify(guest_at(tmp_path), CHANGE, "") == ""
    after = file.stat()
    assert after.st_size == 0
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_file_that_is_gone_already_is_no_failure(tmp_path: Path) -> None:
    TRUNCATE.apply(guest_at(tmp_path), CHANGE)
    assert TRUNCATE.verify(guest_at(tmp_path), CHANGE, "") == ""
