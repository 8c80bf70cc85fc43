"""Mount units of systemd are like lines of fstab, on guests whose file systems are folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.images.test_layout_inspection import HOME, ROOT, inspect, root
from tests.support.forest import ForestVolumes
from unclone.images.errors import RefusedError
from unclone.images.layout import Mount

if TYPE_CHECKING:
    from pathlib import Path

    from tests.images.test_layout_inspection import Tree


@pytest.fixture
def forest(tmp_path: Path) -> ForestVolumes:
    return ForestVolumes(tmp_path)


HOME_UNIT = "/etc/systemd/system/home.mount"
WANTED = "/etc/systemd/system/local-fs.target.wants/home.mount"


@pytest.mark.parametrize(
    "files",
    [
        {HOME_UNIT: "[Mount]\nWhat=UUID=home-uuid\nWhere=/home\n"},
        {HOME_UNIT: "[Mount]\nWhat=/dev/disk/by-uuid/home-uuid\nType=xfs\nWhere=/home/\n"},
        {HOME_UNIT: "[Mount]\nWhat=UUID=home-uuid\nWhere=/home\n", "/home/x": "", WANTED: "-> x"},
        {
            HOME_UNIT: "[Mount]\nWhat=UUID=home-uuid\nWhere=/home\n",
            "/home/x": "",
            "/etc/systemd/system/multi-user.target.wants/home.automount": "-> ../home.automount",
        },
        {"/usr/lib/systemd/system/home.mount": "[Mount]\nWhat=UUID=home-uuid\nWhere=/home\n"},
        {
            "/etc/fstab": "UUID=gone /home ext4 defaults 0 0\n",
            HOME_UNIT: "[Mount]\nWhat=UUID=home-uuid\nWhere=/home\n",
        },
        {
            "/etc/fstab": "UUID=home-uuid /home ext4 defaults 0 0\n",
            "/usr/lib/systemd/system/home.mount": "[Mount]\nWhat=UUID=gone\nWhere=/home\n",
        },
    ],
    ids=["uuid", "path", "wanted", "automount", "in /usr", "before fstab", "after fstab"],
)
def test_a_mount_unit_is_like_a_line_of_fstab(forest: ForestVolumes, files: Tree) -> None:
    forest.add(ROOT, {**root(), **files})
    forest.add(HOME, {})
    layout = inspect(forest)
    assert layout.mounts["/home"] == Mount("/dev/sda3", "/home", "xfs")
    assert layout.warnings == ()


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        ("[Mount]\nWhat=UUID=home-uuid\nWhere=/srv\n", "is in no fstab entry"),
        ("-> /dev/null", "is in no fstab entry"),
        ("[Mount]\nWhat=UUID=gone\nWhere=/home\n", "home.mount mounts UUID=gone at /home: no disk"),
    ],
    ids=["another place", "masked", "no such device"],
)
def test_a_mount_unit_that_mounts_nothing(forest: ForestVolumes, unit: str, why: str) -> None:
    forest.add(ROOT, {**root(), HOME_UNIT: unit})
    forest.add(HOME, {})
    layout = inspect(forest)
    assert "/home" not in layout.mounts
    assert why in layout.warnings[0]


def test_a_mount_unit_that_the_boot_requires(forest: ForestVolumes) -> None:
    unit = "[Mount]\nWhat=UUID=gone\nWhere=/home\n"
    forest.add(ROOT, {**root(), HOME_UNIT: unit, WANTED.replace("wants", "requires"): "-> x"})
    with pytest.raises(
        RefusedError, match=r"/home.mount mounts UUID=gone at /home: no disk has it"
    ):
        inspect(forest)


def test_a_mount_unit_that_nothing_wants_and_that_would_hide_files(forest: ForestVolumes) -> None:
    unit = "[Mount]\nWhat=UUID=home-uuid\nWhere=/home\n"
    forest.add(ROOT, {**root(), HOME_UNIT: unit, "/home/user/.bashrc": ""})
    forest.add(HOME, {})
    with pytest.raises(RefusedError, match=r"over what is in /home, and no other unit wants it"):
        inspect(forest)
