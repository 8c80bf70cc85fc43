"""Images read without QEMU: byte for byte what QEMU reads, whatever they are made of."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import MIB, poke
from tests.support.selection import slow_but
from unclone.images.chain import read_chain
from unclone.images.engines.direct.access.clusters import Clusters, UnreadableError
from unclone.images.engines.direct.access.layers import layers_of
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from unclone.images.image import Image

SIZE = 8 * MIB + 512 * 3

#: qcow2 options by what they are about.
OPTIONS: Mapping[str, str] = {
    "v3": "compat=1.1",
    "v2": "compat=0.10",
    "smallest clusters": "cluster_size=512",
    "largest clusters": "cluster_size=2M",
    "preallocated": "preallocation=metadata",
    "external data": "data_file=DATA",
    "raw external data": "data_file=DATA,data_file_raw=on",
}


def make(folder: Path, name: str, options: str, *, below: Path | None = None) -> Path:
    """An image of :data:`SIZE` with data, zeros and holes in places that differ by *name*."""
    path = folder / name
    options = options.replace("DATA", str(folder / f"{name}.data"))
    backing = (
        ["-b", str(below), "-F", "raw" if below.suffix == ".raw" else "qcow2"] if below else []
    )
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, *backing, path, str(SIZE)])
    chance = random.Random(name)
    commands: list[str] = []
    for _ in range(60):
        at = chance.randrange(SIZE // 512) * 512
        length = min(chance.choice((512, 4096, 65536, 300_032)), SIZE - at)
        kind = chance.choice((f"write -P {chance.randrange(1, 255)}", "write -z", "discard"))
        commands += ["-c", f"{kind} {at} {length}"]
    run(["qemu-io", "-f", "qcow2", *commands, path])
    return path


def as_qemu_reads_it(image: Image, folder: Path) -> bytes:
    raw = folder / "read by qemu.raw"
    run(["qemu-img", "convert", "-f", image.format, "-O", "raw", image.path, raw])
    return raw.read_bytes()


def assert_reads_like_qemu(path: Path, folder: Path, *, seed: int = 1) -> None:
    image = read_chain(path)
    wanted = as_qemu_reads_it(image, folder)
    layers = layers_of(image)
    assert layers
    clusters = Clusters(layers)
    try:
        assert clusters.read(0, len(wanted)) == wanted
        chance = random.Random(seed)
        for _ in range(300):
            at = chance.randrange(len(wanted))
            count = min(chance.choice((1, 512, 4096, 70_000, MIB)), len(wanted) - at)
            assert clusters.read(at, count) == wanted[at : at + count], (at, count)
    finally:
        clusters.close()


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_one_image(tmp_path: Path, options: str) -> None:
    assert_reads_like_qemu(make(tmp_path, "image", options), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bits", slow_but({12, 16}, [9, 12, 16, 21]))
def test_compressed_clusters(tmp_path: Path, bits: int) -> None:
    plain = make(tmp_path, "plain", "compat=1.1")
    chance = random.Random(bits)
    # What does not compress is stored as it is, in the same image.
    run(["qemu-io", "-f", "qcow2", "-c", f"write -s {noise(tmp_path, chance)} 1M 1M", plain])
    options = ["-o", f"cluster_size={1 << bits}"]
    run(
        ["qemu-img", "convert", "-c", "-f", "qcow2", "-O", "qcow2", *options, plain, tmp_path / "c"]
    )
    assert_reads_like_qemu(tmp_path / "c", tmp_path, seed=bits)


def noise(folder: Path, chance: random.Random) -> Path:
    path = folder / "noise"
    path.write_bytes(chance.randbytes(MIB))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("bottom", ["qcow2", "raw", "short raw", "short qcow2"])
def test_images_on_each_other(tmp_path: Path, bottom: str) -> None:
    if bottom == "qcow2":
        below = make(tmp_path, "bottom", "cluster_size=4k")
    elif bottom == "short qcow2":
        below = make(tmp_path, "bottom", "cluster_size=4k")
        run(["qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", below, str(3 * MIB + 512)])
    else:
        below = tmp_path / "bottom.raw"
        size = SIZE if bottom == "raw" else MIB + 100
        below.write_bytes(random.Random(bottom).randbytes(size))
    middle = make(tmp_path, "middle", "cluster_size=64k", below=below)
    top = make(tmp_path, "top", "cluster_size=16k", below=middle)
    assert_reads_like_qemu(top, tmp_path)


def test_a_raw_image_that_ends_in_the_middle_of_a_sector(tmp_path: Path) -> None:
    path = tmp_path / "image.raw"
    path.write_bytes(os.urandom(MIB + 100))
    assert_reads_like_qemu(path, tmp_path)


@pytest.mark.parametrize("options", ["extended_l2=on", "compression_type=zstd"])
def test_what_only_qemu_reads_is_left_to_qemu(tmp_path: Path, options: str) -> None:
    top = make(tmp_path, "top", "compat=1.1", below=make(tmp_path, "image", options))
    assert layers_of(read_chain(tmp_path / "image")) == ()
    assert layers_of(read_chain(top)) == ()


@pytest.mark.parametrize("form", ["vmdk", "vdi", "vhdx"])
def test_other_formats_are_left_to_qemu(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"image.{form}"
    run(["qemu-img", "create", "-q", "-f", form, path, "8M"])
    assert layers_of(read_chain(path)) == ()


def entries(path: Path) -> Sequence[int]:
    """Where the L2 entries of the first clusters are in the file at *path*."""
    raw = path.read_bytes()
    l1 = int.from_bytes(raw[40:48], "big")
    table = int.from_bytes(raw[l1 : l1 + 8], "big") & 0x00FFFFFFFFFFFE00
    return [table + 8 * n for n in range(16)]


def test_a_table_beyond_the_end_of_the_file_is_an_error(tmp_path: Path) -> None:
    path = make(tmp_path, "image", "compat=1.1")
    layers = layers_of(read_chain(path))
    poke(path, layers[0].l1_table_offset, (1 << 40).to_bytes(8, "big"))
    with pytest.raises(UnreadableError):
        Clusters(layers).read(0, 512)


def test_a_damaged_compressed_cluster_is_an_error(tmp_path: Path) -> None:
    plain = make(tmp_path, "plain", "compat=1.1")
    run(["qemu-img", "convert", "-c", "-f", "qcow2", "-O", "qcow2", plain, tmp_path / "image"])
    path = tmp_path / "image"
    raw = path.read_bytes()
    held = [e for at in entries(path) if (e := int.from_bytes(raw[at : at + 8], "big")) >> 62 & 1]
    poke(path, held[0] & ((1 << 54) - 1), b"\xff" * 64)
    first = next(n for n, at in enumerate(entries(path)) if raw[at] & 0x40)
    with pytest.raises(UnreadableError):
        Clusters(layers_of(read_chain(path))).read(first << 16, 512)
