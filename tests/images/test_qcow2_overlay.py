"""Overlays that are written in one go, as QEMU reads them."""

from __future__ import annotations

import json
import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import sound
from unclone.images.errors import RefusedError
from unclone.images.overlay import allocated
from unclone.images.process import run
from unclone.images.qcow2_overlay import CLUSTER, Overlay

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30


@pytest.mark.slow
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


def test_a_disk_that_no_overlay_holds(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="too large"):
        Overlay(tmp_path / "base", "raw", 2**62, set(), 16)


@pytest.mark.parametrize("options", ["compat=1.1", "compat=0.10,cluster_size=4k"])
def test_what_is_allocated_is_as_qemu_lists_it(tmp_path: Path, options: str) -> None:
    """Data, zeros, what is compressed, a last cluster that is not whole, in several L2 tables."""
    path = tmp_path / "overlay.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, str(GIB + 512)])
    assert list(allocated(path)) == []
    writes = ["0 1", "64k 64k", "-z 192k 128k", "600M 5M", "-c 700M 64k", f"{GIB} 512"]
    asked = [word for write in writes for word in ("-c", f"write -q {write}")]
    run(["qemu-io", "-f", "qcow2", *asked, path])
    assert list(allocated(path)) == listed_by_qemu(path)


def listed_by_qemu(path: Path) -> list[tuple[int, int]]:
    """As :func:`allocated`, with adjacent areas joined."""
    areas: list[tuple[int, int]] = []
    for part in json.loads(run(["qemu-img", "map", "--output=json", path]).stdout):
        start, length = part["start"], part["length"]
        if not part["present"]:
            continue
        if areas and sum(areas[-1]) == start:
            start, length = areas[-1][0], areas[-1][1] + length
            areas.pop()
        areas.append((start, length))
    return areas


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


#: Of the change sets that follow.
SIZES = (2**20, 3 * 2**20 + 512, GIB, 2**40 + 4096, 64 * 2**40)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "sets"),
    [(16, 3), *(pytest.param(bits, 30, marks=pytest.mark.slow) for bits in range(12, 22))],
)
def test_any_set_of_changes_is_read_by_qemu(tmp_path: Path, bits: int, sets: int) -> None:
    """Random sets on a chain of two images, in clusters of 4 KiB to 2 MiB."""
    chance = random.Random(bits)
    for _ in range(sets):
        size = chance.choice([size for size in SIZES if size >> 2 * bits - 3 << 3 < 2**25])
        most = -(-size // (1 << bits))
        numbers = {chance.choice((chance.randrange(most), most - 1, 0, 1 % most)) for _ in range(9)}
        read_back(tmp_path, size, bits, numbers)


def read_back(folder: Path, size: int, bits: int, numbers: set[int]) -> None:
    bottom, base, path = (folder / name for name in ("bottom", "base", "top"))
    for image, below in ((bottom, ()), (base, ("-b", bottom, "-F", "qcow2"))):
        run(["qemu-img", "create", "-q", "-f", "qcow2", *below, image, str(size)])
    run(["qemu-io", "-f", "qcow2", "-c", f"write -P 99 0 {min(size, 2**20)}", base])
    cluster = 1 << bits

    def content(at: int, count: int) -> bytes:
        return bytes([1 + (at >> bits) % 90]) * min(count, size - at)

    with path.open("wb") as file:
        Overlay(base, "qcow2", size, numbers, bits).fill(file, content)
    assert sound(path)
    reads = [
        f"read -P {1 + n % 90} {n * cluster} {min(cluster, size - n * cluster)}"
        for n in sorted(numbers)
    ]
    free = next((n for n in range(2**20 // cluster) if n not in numbers), None)
    if free is not None and (free + 1) * cluster <= size:
        reads.append(f"read -P 99 {free * cluster} {cluster}")
    asked = [word for read in reads for word in ("-c", read)]
    said = run(["qemu-io", "-r", "-f", "qcow2", *asked, path]).stdout
    assert b"verification failed" not in said
    assert said.count(b"read ") == len(reads)
