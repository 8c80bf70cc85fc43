"""A transaction that is committed changes the image, whatever its format and shape."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    MIB,
    NEW,
    OLD,
    SIZE,
    Kind,
    digests,
    empty,
    fill,
    holds,
    make,
    overlay_on,
    sound,
    tool,
)
from tests.support.selection import EVERY_KIND
from tests.support.transactions import BY_NAME, change, changed, on_a_chain, with_snapshot
from unclone.images.formats.header import Format
from unclone.images.overlay import overlay_path
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VMDK = BY_NAME["vmdk-monolithicSparse"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_commit_writes_the_changes_into_every_format(tmp_path: Path, kind: Kind) -> None:
    image = make(tmp_path / f"disk.{kind.format}", kind)
    before = set(tmp_path.iterdir())
    with InPlace([Disk(image)]) as transaction:
        assert transaction.images[0].format == kind.format
        change(transaction)
        transaction.commit()
        assert transaction.committed
    assert changed(image, kind.format)
    assert sound(image, kind.format)
    assert set(tmp_path.iterdir()) == before


def compressed(directory: Path) -> Path:
    source = make(directory / "source.qcow2")
    tool("qemu-img", "convert", "-c", "-O", "qcow2", source, directory / "disk.qcow2")
    return directory / "disk.qcow2"


def with_data_file(directory: Path) -> Path:
    path = directory / "disk.qcow2"
    tool(
        "qemu-img", "create", "-q", "-f", "qcow2", "-o",
        f"data_file={directory}/disk.data,data_file_raw=on", path, str(SIZE),
    )  # fmt: skip
    fill(path, OLD, MIB, MIB)
    return path


def with_lazy_refcounts(directory: Path) -> Path:
    return make(directory / "disk.qcow2", Kind("lazy", "qcow2", "lazy_refcounts=on"))


SHAPES = [compressed, on_a_chain, with_data_file, with_lazy_refcounts, with_snapshot]


@pytest.mark.slow
@pytest.mark.parametrize("build", SHAPES, ids=lambda build: build.__name__)
def test_commit_into_a_qcow2_of_any_shape(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    image = build(tmp_path)
    others = digests(p for p in tmp_path.iterdir() if p.name in {"base.raw", "middle.qcow2"})
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        transaction.commit()
    assert changed(image)
    assert sound(image)
    assert digests(tmp_path / name for name in others) == others


@pytest.mark.slow
def test_commit_into_a_vmdk_on_a_parent(tmp_path: Path) -> None:
    base = make(tmp_path / "base.vmdk", VMDK)
    image = tmp_path / "disk.vmdk"
    tool("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", base, image)
    before = digests([base])
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        transaction.commit()
    assert changed(image, "vmdk")
    assert digests([base]) == before


@pytest.mark.slow
def test_commit_into_a_vmdk_of_very_many_extents(tmp_path: Path) -> None:
    image = empty(tmp_path / "disk.vmdk", BY_NAME["vmdk-twoGbMaxExtentFlat"], 200 * 2048 * MIB)
    assert len(list(tmp_path.iterdir())) > 200
    with InPlace([Disk(image)]) as transaction:
        fill(transaction.overlays[0], NEW, 399 * 1024 * MIB, MIB)
        transaction.commit()
    assert holds(image, NEW, 399 * 1024 * MIB, MIB, "vmdk")


@pytest.mark.slow
def test_several_disks_are_committed_together(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    first = make(tmp_path / "disk.qcow2")
    second = make(tmp_path / "elsewhere" / "data.raw", BY_NAME["raw"])
    third = make(tmp_path / "swap.vdi", BY_NAME["vdi"])
    with InPlace([Disk(p) for p in (first, second, third)]) as transaction:
        for number in range(3):
            change(transaction, number)
        transaction.commit()
    assert changed(first)
    assert changed(second, "raw")
    assert changed(third, "vdi")
    left = sorted(path.name for path in tmp_path.rglob("*"))
    assert left == ["data.raw", "disk.qcow2", "elsewhere", "swap.vdi"]


def test_committing_twice_is_harmless(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        transaction.commit()
        before = digests([image])
        transaction.commit()
    assert digests([image]) == before


def test_the_image_keeps_its_mode_and_owner(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    image.chmod(0o664)
    owner = (12345, 23456) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(image, *owner)
    with InPlace([Disk(image)]) as transaction:
        overlay = transaction.overlays[0].stat()
        assert stat.S_IMODE(overlay.st_mode) == 0o600
        assert (overlay.st_uid, overlay.st_gid) == owner
        change(transaction)
        transaction.commit()
    found = image.stat()
    assert stat.S_IMODE(found.st_mode) == 0o664
    assert (found.st_uid, found.st_gid) == owner


def test_a_symlink_stays_and_its_target_changes(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    image = make(tmp_path / "pool" / "disk.qcow2")
    link = tmp_path / "link.qcow2"
    link.symlink_to(image)
    with InPlace([Disk(link)]) as transaction:
        assert transaction.overlays == (overlay_path(image),)
        change(transaction)
        transaction.commit()
    assert link.is_symlink()
    assert changed(image)


@pytest.mark.slow
def test_a_stated_raw_format_holds(tmp_path: Path) -> None:
    # The disk's first bytes are a qcow2 header that names /etc/passwd: nobody follows it.
    image = empty(tmp_path / "disk.raw", BY_NAME["raw"])
    hostile = overlay_on(tmp_path / "hostile.qcow2", "/etc/passwd", "raw").read_bytes()
    with image.open("r+b") as file:
        file.write(hostile)
    with InPlace([Disk(image, Format.RAW)]) as transaction:
        fill(transaction.overlays[0], NEW, 3 * MIB, MIB)
        transaction.commit()
    assert image.read_bytes()[: len(hostile)] == hostile
    assert holds(image, NEW, 3 * MIB, MIB, "raw")


@pytest.mark.parametrize("directory", ["a:b,c=d 'e' \"f\" é", "-rf", "n" * 200])
def test_names_are_only_names(tmp_path: Path, directory: str) -> None:
    (tmp_path / directory).mkdir()
    image = make(tmp_path / directory / "-disk:1,x.qcow2")
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        transaction.commit()
    assert changed(image)
