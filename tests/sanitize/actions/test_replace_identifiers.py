"""``replace-identifiers``: in a file or a link, and a file that is left as it was is noticed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.identified import ROOT, SWAP
from tests.support.tree import guest_at, plant
from unclone.images.guest import READ_LIMIT
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.actions.replace_identifiers import as_details
from unclone.sanitize.change import Change

if TYPE_CHECKING:
    from pathlib import Path

REPLACE = ACTIONS["replace-identifiers"]
WANTED = Change("s", "replace-identifiers", "/etc/f", "why", details=as_details([ROOT, SWAP]))


def test_a_file(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": f"{ROOT.old} {SWAP.old.upper()}"})
    guest = guest_at(tmp_path)
    assert "still refers to" in REPLACE.verify(guest, WANTED, "")
    REPLACE.apply(guest, WANTED)
    REPLACE.apply(guest, WANTED)
    assert REPLACE.verify(guest, WANTED, "") == ""
    assert (tmp_path / "etc/f").read_text() == f"{ROOT.new} {SWAP.new.upper()}"


def test_a_link(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": f"-> /dev/disk/by-uuid/{ROOT.old}"})
    guest = guest_at(tmp_path)
    assert "still refers to" in REPLACE.verify(guest, WANTED, "")
    REPLACE.apply(guest, WANTED)
    assert REPLACE.verify(guest, WANTED, "") == ""
    assert os.readlink(tmp_path / "etc/f") == f"/dev/disk/by-uuid/{ROOT.new}"


def test_what_a_later_step_took_away_is_no_failure(tmp_path: Path) -> None:
    assert REPLACE.verify(guest_at(tmp_path), WANTED, "") == ""


def test_a_file_that_cannot_be_read_whole_is_not_written(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/f": ROOT.old})
    os.truncate(tmp_path / "etc/f", READ_LIMIT + 1)
    with pytest.raises(OSError, match="too large"):
        REPLACE.apply(guest_at(tmp_path), WANTED)
    assert (tmp_path / "etc/f").stat().st_size == READ_LIMIT + 1
