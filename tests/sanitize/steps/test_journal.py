"""Only the journal folders of a retired id go."""

from __future__ import annotations

import os
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.families import OLD, OTHER
from tests.support.planning import context
from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.sanitize import left_behind
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Plan
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


@pytest.mark.slow
def test_a_journal_of_100_000_files_takes_few_calls_and_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, {"/etc/machine-id": f"{OLD}\n", f"/var/log/journal/{OLD}": None})
    folder = tmp_path / "var/log/journal" / OLD
    for number in range(100_000):
        os.close(os.open(folder / f"user-{number}.journal", os.O_CREAT, 0o600))
    calls: list[str] = []
    for name in ("lstat", "scan", "read", "remove"):
        original = getattr(TreeVolumes, name)

        def counted(
            self: TreeVolumes, *arguments: str | int, original: Any = original, name: str = name
        ) -> Any:
            calls.append(name)
            return original(self, *arguments)

        monkeypatch.setattr(TreeVolumes, name, counted)
    # What a walk does inside an engine is one call of it.
    monkeypatch.setattr(left_behind, "IN_TREE", 100)
    guest = guest_at(tmp_path)
    tracemalloc.start()
    changes = Journal().plan(context(guest)).changes
    apply_plan(guest, Plan("identity", changes, (), ()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not folder.exists()
    assert calls.count("remove") == 1
    assert len(calls) < 300
    assert peak < 64 * 1024**2
