"""A disk read from its image and from the scratch file: always what was written last."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import MIB
from unclone.images.chain import read_chain
from unclone.images.engines.direct.access.dirty_map import DirtyMap
from unclone.images.engines.direct.access.disk import Disk, Place
from unclone.images.engines.direct.disks import Disks
from unclone.images.engines.engine import Drive
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.raw"
    path.write_bytes(random.Random(1).randbytes(4 * MIB))
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", path, "-F", "raw", tmp_path / "overlay"])
    return path


def test_every_reader_sees_what_was_written_last(tmp_path: Path, base: Path) -> None:
    wanted = bytearray(base.read_bytes())
    opened = Disks([Drive(tmp_path / "overlay", "qcow2", read_chain(base))], scratch=False)
    place = opened.devices()[0].disk.place
    disks = [Disk(place), Disk(place)]  # as two processes have
    chance = random.Random(2)
    for _ in range(400):
        at = chance.randrange(len(wanted))
        count = min(chance.choice((1, 512, 5000, 200_000)), len(wanted) - at)
        disk = chance.choice(disks)
        if chance.random() < 0.2:
            wanted[at : at + count] = content = chance.randbytes(count)
            assert disk.write(at, content) == count
        else:
            assert disk.read(at, count) == wanted[at : at + count], (at, count)
    for disk in disks:
        disk.close()
    opened.end()
    assert base.read_bytes() == random.Random(1).randbytes(4 * MIB)
    run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", tmp_path / "overlay", tmp_path / "raw"])
    assert (tmp_path / "raw").read_bytes() == wanted


def test_what_was_not_changed_needs_no_file(tmp_path: Path, base: Path) -> None:
    drive = Drive(tmp_path / "overlay", "qcow2", read_chain(base))
    opened = Disks([drive], scratch=False)
    place = opened.devices()[0].disk.place
    disk = Disk(Place(str(tmp_path / "nowhere"), place.size, place.dirty_map, place.layers))
    assert disk.read(MIB, 4096) == base.read_bytes()[MIB : MIB + 4096]
    with pytest.raises(FileNotFoundError):
        disk.mark(MIB, 1)  # the rest of the region is copied to the file
    disk.mark(MIB, 65536)
    with pytest.raises(FileNotFoundError):
        disk.read(MIB, 4096)
    assert disk.unchanged(MIB + 65536, 4096) is not None
    disk.close()
    opened.end()


def test_marks_are_where_they_were_set(tmp_path: Path) -> None:
    DirtyMap.make(tmp_path / "marks", 10 * 65536 + 5)
    marks, others = DirtyMap(tmp_path / "marks"), DirtyMap(tmp_path / "marks")
    marks.mark(3 * 65536, 65536)
    assert [n for n in range(10) if others.is_dirty(n * 65536, 65536)] == [3]
    assert others.is_dirty(3 * 65536 - 1, 2)
    assert not others.is_dirty(0, 3 * 65536)
    marks.mark(10 * 65536, 5)
    assert others.is_dirty(10 * 65536 + 4, 1)
    marks.close()
    others.close()
