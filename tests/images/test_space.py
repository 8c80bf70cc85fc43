"""How much a commit can need, against what it really takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import MIB, NEW, Kind, fill, make, tool
from tests.support.selection import EVERY_KIND
from unclone.images import space
from unclone.images.overlay import reserve_path
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_the_image_never_grows_by_more(tmp_path: Path, kind: Kind) -> None:
    image = make(tmp_path / "disk", kind)
    with InPlace([Disk(image)]) as transaction:
        (overlay,) = transaction.overlays
        for offset in range(0, 60, 7):
            fill(overlay, NEW, offset * MIB + 4096, 5000)
        bound = space.needed(overlay, transaction.images[0])
        files = transaction.images[0].files
        before = sum(path.stat().st_blocks * 512 for path in files)
        transaction.commit()
        assert sum(path.stat().st_blocks * 512 for path in files) - before <= bound


def test_a_snapshot_makes_every_cluster_new(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    tool("qemu-img", "snapshot", "-c", "one", image)
    with InPlace([Disk(image)]) as transaction:
        fill(transaction.overlays[0], NEW, MIB, MIB)
        assert space.needed(transaction.overlays[0], transaction.images[0]) >= MIB


def test_the_reserve_is_there_until_it_is_not(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with InPlace([Disk(image)]) as transaction:
        reserve = reserve_path(image)
        with space.reserved([(transaction.images[0], 3 * MIB, reserve)]):
            assert reserve.stat().st_blocks * 512 >= 3 * MIB
            assert reserve.stat().st_mode & 0o077 == 0
        assert not reserve.exists()
