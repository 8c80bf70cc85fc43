"""Snapshots on btrfs: named as they are, deleted on request, and looked for afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.families import DEBIAN_12, OLD
from tests.support.tree import TreeVolumes, plant
from unclone.images.errors import RefusedError, ResidueError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount, OtherSystem, Snapshot
from unclone.images.volumes import Subvolume
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Level
from unclone.sanitize.facts import Facts
from unclone.sanitize.inventory.optional_steps import optional_steps
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.change import Plan

#: snapper's first two, Timeshift's, one that somebody took, and one with a container inside.
PATHS = (
    ".snapshots/1/snapshot",
    ".snapshots/2/snapshot",
    "timeshift-btrfs/snapshots/2026-01-01/@",
    "before",
    "kept",
)
DELETE = Options(enable=frozenset({"snapshot-identities"}), uuids="keep")


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    files = {f"/{path}/etc/machine-id": f"{OLD}\n" for path in PATHS}
    beside = {
        "/.snapshots/1/info.xml": "<x/>",
        "/timeshift-btrfs/snapshots/2026-01-01/info.json": "",
    }
    plant(tmp_path, {**DEBIAN_12, **files, **beside, "/kept/vm": None})
    volumes = TreeVolumes(tmp_path)
    volumes.listed = (
        Subvolume("", "1"),
        *(Subvolume(path, path, "1") for path in PATHS),
        Subvolume("kept/vm", "vm"),
    )
    return Guest(
        volumes,
        Layout(
            (Mount("tree", "/", "btrfs"),),
            other_systems=tuple(OtherSystem("tree", path, ("etc/machine-id",)) for path in PATHS),
            snapshots=tuple(
                Snapshot(
                    "tree", path, path, "it holds the subvolume kept/vm" if path == "kept" else ""
                )
                for path in PATHS
            ),
        ),
    )


def noted(plan: Plan) -> list[str]:
    return [note.text for note in plan.notes if "snapshots" in note.text]


def test_without_the_option_they_stay_and_are_named(guest: Guest) -> None:
    plan = make_plan(guest, Options(uuids="keep"))
    assert not [change for change in plan.changes if change.action == "delete-subvolume"]
    (text,) = noted(plan)
    assert text.startswith("5 snapshots or subvolumes of tree")
    assert "--delete-snapshots deletes 4 of them" in text
    with pytest.raises(RefusedError, match="5 snapshots"):
        make_plan(guest, Options(uuids="keep", strict=True))


def test_they_are_deleted_with_what_tools_keep_beside_them(guest: Guest, tmp_path: Path) -> None:
    plan = make_plan(guest, DELETE)
    verify(guest, plan, apply_plan(guest, plan))
    assert [each.path for each in guest.subvolumes("tree")] == ["", "kept", "kept/vm"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert {"kept", ".snapshots", "timeshift-btrfs", "etc"} <= set(left)
    assert "before" not in left
    assert list((tmp_path / ".snapshots").iterdir()) == []
    assert list((tmp_path / "timeshift-btrfs/snapshots").iterdir()) == []


def test_one_that_cannot_be_deleted_is_named(guest: Guest) -> None:
    plan = make_plan(guest, DELETE)
    assert "the snapshot tree:kept stays: it holds the subvolume kept/vm" in [
        note.text for note in plan.notes if note.level is Level.WARNING
    ]
    (text,) = noted(plan)
    assert text.startswith("1 snapshots or subvolumes of tree")
    assert "--delete-snapshots" not in text


def test_one_that_is_still_there_fails_the_run(guest: Guest) -> None:
    plan = make_plan(guest, DELETE)
    volumes = guest.unmounted()
    before = volumes.subvolumes("/")[0]
    outcomes = apply_plan(guest, plan)
    assert isinstance(volumes, TreeVolumes)
    volumes.listed = tuple(before)
    with pytest.raises(ResidueError, match="4 changes could not be read back: the snapshot tree"):
        verify(guest, plan, outcomes)


def test_a_step_that_is_off_by_default_is_not_listed_without_a_look(guest: Guest) -> None:
    listed = [each.step for each in optional_steps(guest, Facts(guest), Options())]
    assert "snapshot-identities" not in listed
