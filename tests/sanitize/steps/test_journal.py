"""Only the journal folders of a retired id go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import OLD, OTHER
from tests.support.planning import context
from tests.support.tree import guest_at, plant
from unclone.sanitize.options import Options
from unclone.sanitize.steps.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

THIRD = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (Options(), {OLD, f"{OLD}.app", OTHER}),
        (Options(machine_id=OTHER), {OLD, f"{OLD}.app"}),
        (Options(disable=frozenset({"machine-id"})), set()),
    ],
    ids=["both ids", "one is kept", "the id stays"],
)
def test_journal_folders(tmp_path: Path, options: Options, gone: set[str]) -> None:
    folders = (OLD, f"{OLD}.app", OTHER, THIRD, "remote", f"{OLD}x")
    plant(
        tmp_path,
        {
            "/etc/machine-id": f"{OLD}\n",
            "/var/lib/dbus/machine-id": f"{OTHER}\n",
            **{f"/var/log/journal/{name}/system.journal": "LPKSHHRH" for name in folders},
        },
    )
    guest = guest_at(tmp_path)
    changes = Journal().plan(context(guest, options)).changes
    assert {change.target for change in changes} == {f"/var/log/journal/{name}" for name in gone}
    assert {change.action for change in changes} <= {"remove"}


def test_no_journal_no_change(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/machine-id": f"{OLD}\n"})
    guest = guest_at(tmp_path)
    assert Journal().plan(context(guest)).changes == ()
