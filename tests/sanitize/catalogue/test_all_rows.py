"""All rows at once: they meet in one plan, and what one removed is no failure for another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.row_trees import plant_row
from tests.support.tree import guest_at, plant
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.catalogue import load
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [step.row for step in load()]
EVERY_ID = frozenset(row.id for row in ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("profile", list(Profile))
def test_every_row_that_is_on_runs_with_the_others(tmp_path: Path, profile: Profile) -> None:
    on = [
        row
        for row in ROWS
        if not row.off_because and (profile is Profile.GOLDEN or row.profile is profile)
    ]
    for row in sorted(on, key=lambda row: row.action != "remove"):
        make_room(tmp_path, row.paths)
        plant_row(tmp_path, row, "old\n")
    plant(tmp_path, {"/etc/fstab": "", "/home/ada/notes": "mine\n"})
    guest = guest_at(tmp_path)

    plan = make_plan(guest, Options(profile=profile))
    outcomes = apply_plan(guest, plan)
    verify(guest, plan, outcomes)

    rows = {change.step for change in plan.changes} & EVERY_ID
    assert len(rows) > 60
    assert (tmp_path / "home/ada/notes").read_text() == "mine\n"
    again = make_plan(guest_at(tmp_path), Options(profile=profile))
    assert [change.target for change in again.changes if change.step in EVERY_ID] == []


def make_room(folder: Path, patterns: tuple[str, ...]) -> None:
    """Where another row planted a file, this one may need a folder."""
    for pattern in patterns:
        path = folder
        for part in pattern.split("/")[1:-1]:
            path /= part
            if path.is_file():
                os.unlink(path)
