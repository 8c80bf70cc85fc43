"""Overlays that are written in one go, as QEMU reads them."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import sound
from unclone.images.errors import RefusedError
from unclone.images.qcow2_overlay import CLUSTER, Overlay

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30


@pytest.mark.parametrize(
    ("size", "numbers"),
    [
        (3 * GIB, {0, 3, 5, 1023, 1024, 200_000, 3 * GIB // CLUSTER - 1}),
        (CLUSTER, {0}),
        (10 * CLUSTER + 512, {0, 10}),
        (64 * GIB, set(range(0, 64 * GIB // CLUSTER, 4099))),
    ],
    ids=["some", "one", "odd size", "many"],
)
def test_qemu_reads_what_was_written(tmp_path: Path, size: int, numbers: set[int]) -> None:
    base, path = tmp_path / "base: with, odd.raw", tmp_path / "overlay.qcow2"
    with base.open("wb") as file:
        file.truncate(size)
        file.write(b"below" * 100)
    content = {number: os.urandom(CLUSTER) for number in numbers}
    overlay = Overlay(base, "raw", size, numbers)
    overlay.write(path, content)
    assert overlay.holds(path, content)
    assert sound(path)
    result = tmp_path / "result.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", path, result], check=True)
    assert result.stat().st_size == size
    with result.open("rb") as file:
        for number in sorted(numbers)[:50]:
            file.seek(number * CLUSTER)
            assert file.read(CLUSTER) == content[number][: size - number * CLUSTER]
        free = next(number for number in range(1, 20) if number not in numbers)
        file.seek(free * CLUSTER)
        assert not file.read(CLUSTER).strip(b"\0")


def test_what_is_not_whole_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "overlay.qcow2"
    overlay = Overlay(tmp_path / "base", "raw", GIB, {1, 2})
    content = {1: b"a" * CLUSTER, 2: b"b" * CLUSTER}
    overlay.write(path, content)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert not overlay.holds(path, content)
    os.truncate(path, path.stat().st_size - 1)
    assert not overlay.holds(path, content)


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        Overlay(tmp_path / "base", "raw", GIB, {0}).write(tmp_path / "mine", {0: bytes(CLUSTER)})


def test_a_path_that_no_header_holds(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="too long"):
        Overlay(tmp_path / "/".join(["x" * 200] * 6), "raw", GIB, {0})


def test_zeros_take_no_room(tmp_path: Path) -> None:
    path = tmp_path / "overlay.qcow2"
    overlay = Overlay(tmp_path / "base", "raw", 64 * GIB, {0, 1, 2})
    page = b"a" * 4096
    content = {0: bytes(CLUSTER), 1: bytes(4096) + page, 2: page + bytes(CLUSTER - 4096)}
    overlay.write(path, content)
    assert overlay.holds(path, content)
    assert path.stat().st_size == overlay.size
    # Header, refcount table and block, L1 and L2 table, two pages: 4 KiB each.
    assert path.stat().st_blocks * 512 <= 8 * 4096
