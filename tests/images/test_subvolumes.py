"""Which subvolumes of a btrfs are snapshots of the guest, and what of the original is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.images.test_layout_inspection import BTRFS, IDENTITY, subvolume
from tests.support.forest import ForestVolumes
from unclone.images.errors import RefusedError
from unclone.images.layout import Layout, Mount, OtherSystem
from unclone.images.layout_inspection import inspect_layout
from unclone.images.volumes import Subvolume

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.volumes import Volumes


@pytest.fixture
def forest(tmp_path: Path) -> ForestVolumes:
    return ForestVolumes(tmp_path)


def inspect(forest: ForestVolumes) -> Layout:
    return inspect_layout(cast("Volumes", forest))


ROOT_OF = Subvolume("@", "1")


@pytest.mark.parametrize(
    ("listed", "snapshots"),
    [
        ((ROOT_OF, Subvolume("old", "2", "1")), {"old": ""}),
        # The root was rolled back: what it was taken from is a snapshot of another state.
        ((Subvolume("@", "1", "2"), Subvolume("old", "2")), {"old": ""}),
        # Both were taken from what is gone.
        ((Subvolume("@", "1", "9"), Subvolume("old", "2", "9")), {"old": ""}),
        ((ROOT_OF, Subvolume("old", "2", "3"), Subvolume("a", "3", "1")), {"old": "", "a": ""}),
        # Containers and data are none, nor what is taken from them.
        ((ROOT_OF, Subvolume("vm", "2"), Subvolume("vm2", "3", "2")), {}),
        # snapper's of another subvolume, received from another disk.
        (
            (ROOT_OF, Subvolume("data/.snapshots/3/snapshot", "2")),
            {"data/.snapshots/3/snapshot": ""},
        ),
        (
            (ROOT_OF, Subvolume("old", "2", "1"), Subvolume("old/var/lib/machines", "3")),
            {"old": "it holds the subvolume old/var/lib/machines"},
        ),
        ((ROOT_OF, Subvolume("default", "2", "1")), {"default": "it is the default subvolume"}),
        (
            (ROOT_OF, Subvolume("old", "2", "1"), Subvolume("old/x", "3", "2")),
            {"old": "", "old/x": ""},
        ),
        (
            (ROOT_OF, Subvolume("a/@home", "3"), Subvolume("a", "2", "1")),
            {"a": "it holds the subvolume a/@home"},
        ),
    ],
)
def test_snapshots_are_what_descends_from_what_is_mounted(
    forest: ForestVolumes, listed: tuple[Subvolume, ...], snapshots: dict[str, str]
) -> None:
    forest.listed, forest.default = listed, "default"
    folders = {f"/{each.path}": None for each in listed}
    forest.add(BTRFS, {**folders, **subvolume("@")})
    assert {each.subvolume: each.stays for each in inspect(forest).snapshots} == snapshots


def test_a_snapshot_of_var_is_looked_into_as_var(forest: ForestVolumes) -> None:
    forest.listed = (ROOT_OF, Subvolume("@var", "2"), Subvolume("old", "3", "2"))
    files = {
        "/old/lib/dbus/machine-id": IDENTITY["/etc/machine-id"],
        "/old/lib/systemd/random-seed": "x",
    }
    fstab = "UUID=btrfs-uuid /var btrfs subvol=@var 0 0\n"
    forest.add(BTRFS, {**subvolume("@", fstab), "/@/var": None, "/@var": None, **files})
    found = ("lib/dbus/machine-id", "lib/systemd/random-seed")
    assert inspect(forest).other_systems == (OtherSystem("/dev/sda5", "old", found),)


@pytest.mark.slow
def test_what_is_beyond_the_thousandth_subvolume_is_named(forest: ForestVolumes) -> None:
    forest.listed = (ROOT_OF, *(Subvolume(f"s/{n}", f"9{n}", "1") for n in range(1001)))
    forest.add(BTRFS, subvolume("@"))
    found = inspect(forest)
    assert [each.subvolume for each in found.other_systems] == ["s/999", "s/1000"]
    assert len(found.snapshots) == 1001


@pytest.mark.parametrize(
    ("option", "mounted"),
    [("subvolid=257", "@var"), ("subvolid=0x101", "@var"), ("subvolid=5", "/")],
)
def test_a_subvolume_may_be_named_by_its_number(
    forest: ForestVolumes, option: str, mounted: str
) -> None:
    forest.listed = (Subvolume("@", "1", number=256), Subvolume("@var", "2", number=257))
    fstab = f"UUID=btrfs-uuid /var btrfs {option} 0 0\n"
    forest.add(BTRFS, {**subvolume("@", fstab), "/@/var": None, "/@var/lib": None})
    layout = inspect(forest)
    assert layout.mounts["/var"] == Mount("/dev/sda5", "/var", "btrfs", mounted)
    assert layout.other_systems == ()


def test_a_number_that_no_subvolume_has_is_refused(forest: ForestVolumes) -> None:
    forest.listed = (Subvolume("@", "1", number=256),)
    fstab = "UUID=btrfs-uuid /var btrfs subvolid=300 0 0\n"
    forest.add(BTRFS, {**subvolume("@", fstab), "/@/var": None})
    with pytest.raises(RefusedError, match="no subvolume has the number 300"):
        inspect(forest)
