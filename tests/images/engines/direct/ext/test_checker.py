"""The check of a copy: content with it means sound, whatever kind of file system it is."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.direct import EXT_VARIANTS, complaints, file_disk, open_direct, revision_0
from tests.support.disks import MIB
from tests.support.selection import slow_but
from unclone.images.engines.direct import checks
from unclone.images.engines.direct.ext.checker import copy_metadata
from unclone.images.engines.direct.ext.metadata import Metadata, UnusualError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader

    from unclone.images.engines.direct.access.disk import Disk


#: As the engine's, and what else a file system may have been made with.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    **EXT_VARIANTS,
    "ext4-resizable": ("-t", "ext4", "-E", "resize=4G"),
    "ext4-block-mapped": ("-t", "ext4", "-O", "^extent,^64bit"),
    "ext4-large-inodes": ("-t", "ext4", "-I", "512"),
    "ext4-all-backups": ("-t", "ext4", "-O", "^sparse_super,^metadata_csum,^resize_inode"),
    "ext4-quota": ("-t", "ext4", "-O", "quota"),
    "ext2-revision-0": ("-t", "ext2", *revision_0()),
    "ext4-many-groups": ("-t", "ext4", "-g", "2048", "-b", "1024"),
}
#: What the fast tests take.
OFTEN = {"ext4", "ext2", "ext4-inline-data", "ext4-block-mapped", "ext4-many-groups"}
#: Whose group descriptors are spread over the disk.
UNUSUAL = {"ext4-meta-bg"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large directories, long symlinks, attributes, sparse and fragmented files."""
    folder = tmp_path_factory.mktemp("tree")
    (folder / "many").mkdir()
    for number in range(900):
        (folder / "many" / f"a file with quite a long name {number}").write_bytes(b"x" * number)
    for number in range(40):
        (folder / f"folder {number}" / "below").mkdir(parents=True)
    (folder / "long link").symlink_to("t" * 900)
    (folder / "short link").symlink_to("many")
    with (folder / "holes").open("wb") as file:
        for number in range(900):  # more extents than fit into an inode, or into one block
            file.seek(number * 16384)
            file.write(b"data")
    (folder / "large").write_bytes(random.Random(1).randbytes(5 * MIB))
    return folder


def make(image: Path, tree: Path, variant: str, *, mib: int = 48) -> Path:
    with image.open("wb") as file:
        file.truncate(mib * MIB)
    run(["mke2fs", "-q", "-F", *VARIANTS[variant], "-d", tree, image])
    run(["e2fsck", "-fDp", image], ok=(0, 1))  # which makes the indexes
    run(["debugfs", "-w", "-R", f"ea_set {quoted('/long link')} user.x {'v' * 60}", image])
    assert not complaints(image)
    return image


def quoted(name: str) -> str:
    return f'"{name}"'


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> Path:
    """The usual variant, for tests that do not write to it."""
    return make(tmp_path_factory.mktemp("ext4") / "image", tree, "ext4")


@pytest.mark.slow
@pytest.mark.parametrize("variant", slow_but(OFTEN, [v for v in VARIANTS if v not in UNUSUAL]))
def test_what_a_check_reads_is_in_the_copy(tmp_path: Path, tree: Path, variant: str) -> None:
    image = make(tmp_path / "image", tree, variant)
    disk = file_disk(image)
    with open(copy_metadata(disk, 0), "rb") as copied:
        assert not complaints(path_of(copied))
        held = sum(length for _, length in set(places(disk)))
        assert held < image.stat().st_size / 4
        with image.open("rb") as original:  # the contents of files are not in it
            assert any(block != copied.read(MIB) for block in iter(lambda: original.read(MIB), b""))
    disk.close()


def path_of(file: BufferedReader) -> Path:
    """A name by which other programs can open a file in this process's memory."""
    return Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


def places(disk: Disk) -> list[tuple[int, int]]:
    return list(Metadata(disk.read).places())


@pytest.mark.slow
@pytest.mark.parametrize("variant", UNUSUAL)
def test_unusual_ones_are_checked_where_they_are(tmp_path: Path, tree: Path, variant: str) -> None:
    image = make(tmp_path / "image", tree, variant)
    with pytest.raises(UnusualError):
        copy_metadata(file_disk(image), 0)
    volumes = open_direct(image)
    assert volumes.begin_check("/dev/sda")().state == "clean"
    volumes.close()


@pytest.mark.slow
def test_one_that_is_too_large_is_checked_where_it_is(
    ext4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unclone.images.engines.direct.ext.checker._LIMIT", 1024)
    with pytest.raises(UnusualError):
        copy_metadata(file_disk(ext4), 0)


@pytest.mark.slow
def test_nothing_is_checked_twice(ext4: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = open_direct(ext4)
    check = volumes.begin_check("/dev/sda")
    monkeypatch.setattr(checks, "check", lambda *_, **__: pytest.fail("the disk was checked too"))
    assert check().state == "clean"
    volumes.close()


@pytest.mark.parametrize(
    "seed", [*range(5), *(pytest.param(n, marks=pytest.mark.slow) for n in range(5, 25))]
)
def test_content_with_the_copy_means_content_with_the_disk(
    tmp_path: Path, pristine: Pristine, seed: int
) -> None:
    """Damage anywhere in the metadata: no complaint about the copy, none about the disk."""
    raw = pristine.content
    chance = random.Random(seed)
    image = tmp_path / "image"
    run(["cp", "--sparse=always", pristine.image, image])
    with image.open("r+b") as file:
        for _ in range(chance.choice((1, 3, 20))):
            start, length = chance.choice(pristine.places)
            end = min(start + length, len(raw))
            used = [n for n in range(start, end, 64) if any(raw[n : n + 64])]
            at = chance.choice(used or [start]) + chance.randrange(64)
            file.seek(at)
            before = file.read(1)[0]
            file.seek(at)
            file.write(bytes([before ^ 1 << chance.randrange(8)]))
    try:
        copied = copy_metadata(file_disk(image), 0)
    except (UnusualError, OSError, struct.error):
        return  # then the disk itself is checked
    with open(copied, "rb") as source:
        said = subprocess.run(
            ["e2fsck", "-fn", path_of(source)], capture_output=True, text=True, check=False
        )
    if said.returncode == 0:
        assert not complaints(image)


class Pristine(NamedTuple):
    """A sound image, what is in it, and where its metadata is."""

    image: Path
    content: bytes
    places: list[tuple[int, int]]


@pytest.fixture(scope="module", params=["ext4", "ext3"])
def pristine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tree: Path
) -> Pristine:
    image = make(tmp_path_factory.mktemp("pristine") / "image", tree, request.param, mib=24)
    return Pristine(image, image.read_bytes(), sorted(set(places(file_disk(image)))))
