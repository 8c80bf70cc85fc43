"""What the direct engine says of a file system: clean, damaged, or not checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.direct import make_ext, open_direct
from tests.support.disks import Part, make_disk
from unclone.images.engines.direct.volumes import DirectVolumes
from unclone.images.engines.engine import Drive
from unclone.images.volumes import CheckResult, CheckState

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("repair", [False, True], ids=["look", "repair"])
def test_only_what_was_checked_is_clean(tmp_path: Path, repair: bool) -> None:
    disk = make_disk(tmp_path / "disk", [Part("vfat"), Part("ext4"), Part("swap")])
    volumes = open_direct(disk)
    results = [volumes.check(f"/dev/sda{number}", repair=repair) for number in (1, 2, 3)]
    volumes.close()
    assert [(result.type, result.state) for result in results] == [
        ("vfat", CheckState.CLEAN),
        ("ext4", CheckState.CLEAN),
        ("swap", CheckState.NOT_CHECKED),
    ]
    assert results[2].output == "no checker"


def test_a_superblock_that_says_clean_is_not_a_check(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    volumes = DirectVolumes([Drive(image, "raw")], read_only=False)
    result = volumes.check("/dev/sda", repair=True, force=False)
    volumes.close()
    output = "its superblock says that it is clean"
    state = CheckState.NOT_CHECKED
    assert result == CheckResult("/dev/sda", "ext4", state, output, skipped=True)
