"""A VDI whose writer was killed is repaired before it is written to again."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    MIB,
    NEW,
    OLD,
    SIZE,
    fill,
    holds,
    make,
    sound,
)
from tests.support.disks import poke
from tests.support.transactions import BY_NAME
from unclone.images.formats import vdi

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unmapped", "count"),
    [(True, 4), (False, 6), (True, 6), (False, 2), (True, 2), (False, 4)],
    ids=["lost inside", "lost at the end", "lost both", "counted low", "all", "sound"],
)
def test_a_vdi_is_consistent_after_its_repair(tmp_path: Path, unmapped: bool, count: int) -> None:
    path = make(tmp_path / "disk.vdi", BY_NAME["vdi"])
    fill(path, NEW, 9 * MIB, 2 * MIB, "vdi")
    fill(path, 0x33, 20 * MIB, MIB, "vdi")
    (map_offset,) = struct.unpack_from("<I", path.read_bytes(), 340)
    if unmapped:
        poke(path, map_offset + 4 * 9, b"\xff" * 4)
    poke(path, 388, struct.pack("<I", count))
    assert sound(path, "vdi") == (not unmapped and count == 4)
    vdi.repair(path)
    assert sound(path, "vdi")
    fill(path, 0x44, 40 * MIB, 3 * MIB, "vdi")  # new blocks, which must be nobody else's
    assert sound(path, "vdi")
    assert holds(path, OLD, MIB, MIB, "vdi")
    assert holds(path, 0 if unmapped else NEW, 9 * MIB, MIB, "vdi")
    assert holds(path, NEW, 10 * MIB, MIB, "vdi")
    assert holds(path, 0x33, 20 * MIB, MIB, "vdi")
    assert holds(path, 0x44, 40 * MIB, 3 * MIB, "vdi")
    assert holds(path, 0, 43 * MIB, SIZE - 43 * MIB, "vdi")
