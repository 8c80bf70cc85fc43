"""Snapshots are examined and named; they stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.identified import RENEWALS, ROOT
from tests.support.planning import context
from tests.support.tree import TreeVolumes, guest_at, plant
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount, Snapshot
from unclone.sanitize.change import Level
from unclone.sanitize.options import Options
from unclone.sanitize.references.snapshots import REFERENCE

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Note


def notes(folder: Path) -> tuple[Note, ...]:
    guest = guest_at(folder)
    decided = context(guest, renewals=RENEWALS)
    plan = REFERENCE.plan(decided)
    assert plan.changes == ()
    return plan.notes


@pytest.mark.parametrize(
    "snapshot",
    [
        "/.snapshots/1/snapshot",
        "/timeshift-btrfs/snapshots/2026-01-01_00-00-01/@",
        "/timeshift/snapshots/2026-01-01_00-00-01/localhost",
    ],
)
@pytest.mark.parametrize("file", ["etc/fstab", "boot/grub2/grub.cfg", "boot/loader/entries/a.conf"])
def test_a_snapshot_with_old_values_is_named(tmp_path: Path, snapshot: str, file: str) -> None:
    plant(tmp_path, {f"{snapshot}/{file}": f"UUID={ROOT.old} / btrfs\n"})
    (note,) = notes(tmp_path)
    assert note.level is Level.KEPT
    assert snapshot in note.text


def test_many_are_counted(tmp_path: Path) -> None:
    files = {f"/.snapshots/{n}/snapshot/etc/fstab": ROOT.old for n in range(1, 9)}
    plant(tmp_path, dict(files))
    (note,) = notes(tmp_path)
    assert "and 3 more" in note.text


def test_without_old_values_nothing_is_said(tmp_path: Path) -> None:
    plant(tmp_path, {"/.snapshots/1/snapshot/etc/fstab": "UUID=another / btrfs\n"})
    assert notes(tmp_path) == ()


def on_btrfs(folder: Path, *, delete: bool) -> str:
    """What is said of a guest that runs in a snapshot of its own, as openSUSE does."""
    paths = ("@/.snapshots/1/snapshot", "@/.snapshots/2/snapshot", "@/.snapshots/3/snapshot")
    plant(folder, {f"/.snapshots/{n}/snapshot/etc/fstab": ROOT.old for n in (1, 2, 3)})
    guest = Guest(
        TreeVolumes(folder),
        Layout(
            (
                Mount("tree", "/", "btrfs"),
                Mount("tree", "/.snapshots", "btrfs", "/@/.snapshots"),
            ),
            snapshots=tuple(
                Snapshot("tree", path, path, "it is kept" if path == paths[2] else "")
                for path in paths[1:]
            ),
            default_subvolumes={"tree": paths[0]},
        ),
    )
    options = Options(enable=frozenset({"snapshot-identities"}) if delete else frozenset())
    (note,) = REFERENCE.plan(context(guest, options, RENEWALS)).notes
    return note.text


def test_the_running_system_is_no_snapshot(tmp_path: Path) -> None:
    assert on_btrfs(tmp_path, delete=False).startswith(
        "/.snapshots/2/snapshot, /.snapshots/3/snapshot keep"
    )


def test_what_is_deleted_keeps_nothing(tmp_path: Path) -> None:
    assert on_btrfs(tmp_path, delete=True).startswith("/.snapshots/3/snapshot keep")
