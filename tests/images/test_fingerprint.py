"""The state of a disk: of every file it is made of, by content and not by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unclone.images.fingerprint import DiskState, FileState, disk_state
from unclone.images.formats.header import Format
from unclone.images.image import Image

if TYPE_CHECKING:
    from pathlib import Path


def test_every_file_of_the_chain_counts(tmp_path: Path) -> None:
    sizes = {"own": 10, "data": 20, "base": 30}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
        os.utime(tmp_path / name, ns=(0, size))
    base = Image(tmp_path / "base", Format.RAW, 30)
    image = Image(tmp_path / "own", Format.QCOW2, 64, backing=base, data_files=(tmp_path / "data",))
    files = (FileState(10, 10), FileState(20, 20), FileState(30, 30))
    assert disk_state(image) == DiskState("qcow2", 64, files)
