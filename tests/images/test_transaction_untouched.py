"""Whatever stops a transaction before its commit leaves the image bit for bit as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    MIB,
    digests,
    make,
    overlay_on,
    tool,
)
from tests.support.transactions import BY_NAME, change, run, with_snapshot
from unclone.images.errors import ExitStatus, RefusedError, UsageError
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VMDK = BY_NAME["vmdk-monolithicSparse"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_body_leaves_everything_as_it_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())

    def body(transaction: InPlace) -> None:
        change(transaction)
        raise error

    with pytest.raises(error):
        run(image, body)
    assert digests(tmp_path.iterdir()) == before


def test_leaving_without_commit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        assert digests([image]) == {"disk.qcow2": before["disk.qcow2"]}
    assert digests(tmp_path.iterdir()) == before
    assert not transaction.committed


def truncated(path: Path) -> None:
    make(path)
    with path.open("r+b") as file:
        file.truncate(5 * 65536 + MIB // 2)


def lying_about_size(path: Path) -> None:
    make(path)
    with path.open("r+b") as file:
        file.seek(24)
        file.write((1 << 50).to_bytes(8, "big"))


def lying_refcounts(path: Path) -> None:
    make(path)
    with path.open("r+b") as file:
        file.seek(2 * 65536)  # the first refcount block: every cluster becomes free
        file.write(bytes(65536))


def raw_with_qcow2_header(path: Path) -> None:
    overlay_on(path, "/etc/passwd", "raw")
    with path.open("r+b") as file:
        file.seek(510)
        file.write(b"\x55\xaa")


def on_passwd(path: Path) -> None:
    overlay_on(path, "/etc/passwd", "raw")


def on_missing(path: Path) -> None:
    overlay_on(path, "missing.qcow2")


def read_only(path: Path) -> None:
    make(path).chmod(0o444)


def stream_optimized(path: Path) -> None:
    make(path.with_suffix(".source"))
    tool(
        "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
        path.with_suffix(".source"), path,
    )  # fmt: skip


def read_only_extent(path: Path) -> None:
    make(path, BY_NAME["vmdk-monolithicFlat"])
    path.with_name("disk-flat.img").chmod(0o444)


def marked_corrupt(path: Path) -> None:
    make(path)
    with path.open("r+b") as file:
        file.seek(79)
        file.write(b"\x02")


def encrypted(path: Path) -> None:
    # The older of QEMU's two encryptions: for LUKS it measures its own CPU time first, and where
    # the clock is coarse it gives up now and then ("Unable to get accurate CPU usage").
    tool(
        "qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x",
        "-o", "encrypt.format=aes,encrypt.key-secret=s", path, "8M",
    )  # fmt: skip


def backing_of_others(path: Path) -> None:
    make(path)
    overlay_on(path.with_name("clone.qcow2"), path.name)
    overlay_on(path.with_name("other.qcow2"), f'json:{{"file":{{"filename":"{path}"}}}}')


BAD = [
    (truncated, "damaged or truncated: qemu-img check finds", "backup"),
    (lying_about_size, "virtual size of 1125899906842624 bytes does not fit", "backup"),
    (lying_refcounts, "qemu-img check finds", "qemu-img check -r all -f qcow2"),
    (raw_with_qcow2_header, "also looks like a raw disk", "--format"),
    (on_passwd, "outside its directory: /etc/passwd", "--allow"),
    (on_missing, "missing", "qemu-img rebase"),
    (read_only, "is read-only", "--output"),
    (stream_optimized, "streamOptimized", "--output"),
    (read_only_extent, r"disk-flat\.img is read-only", "--output"),
    (marked_corrupt, "marked as corrupt", "qemu-img check -r all"),
    (encrypted, "encrypted qcow2", "Decrypt"),
    (backing_of_others, r"backing file of clone\.qcow2, other\.qcow2", "--output"),
]


@pytest.mark.parametrize(
    ("build", "words", "hint"), BAD, ids=[build.__name__ for build, _, _ in BAD]
)
def test_a_bad_image_is_refused_and_left_alone(
    tmp_path: Path, build: Callable[[Path], None], words: str, hint: str
) -> None:
    image = tmp_path / "disk.img"
    build(image)
    before = digests(tmp_path.iterdir())
    with pytest.raises(RefusedError, match=words) as caught, InPlace([Disk(image)]):
        pytest.fail("it was accepted")
    assert "disk" in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.status is ExitStatus.REFUSED
    assert digests(tmp_path.iterdir()) == before


def test_a_truncated_raw_extent_or_body_never_reaches_the_engine(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.vdi", BY_NAME["vdi"])
    with image.open("r+b") as file:
        file.truncate(image.stat().st_size - MIB)
    with pytest.raises(RefusedError, match="truncated"), InPlace([Disk(image)]):
        pytest.fail("it was accepted")


def test_overlays_of_the_image_can_be_accepted(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    overlay_on(tmp_path / "clone.qcow2", "disk.qcow2")
    with InPlace([Disk(image)], allow_overlays=True) as transaction:
        (warning,) = transaction.warnings
        assert "clone.qcow2" in warning


def test_internal_snapshots_are_pointed_out(tmp_path: Path) -> None:
    image = with_snapshot(tmp_path)
    with InPlace([Disk(image)]) as transaction:
        (warning,) = transaction.warnings
        assert "1 internal snapshot" in warning


def test_no_warning_without_a_reason(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    make(tmp_path / "other.qcow2")
    with InPlace([Disk(image)]) as transaction:
        assert transaction.warnings == ()
        assert transaction.recovered == ()


def test_a_disk_counts_once(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    (tmp_path / "same.qcow2").hardlink_to(image)
    disks = [Disk(image), Disk(tmp_path / "same.qcow2")]
    with pytest.raises(UsageError, match="more than once"), InPlace(disks):
        pytest.fail("it was accepted")


def test_a_disk_is_not_the_backing_file_of_another(tmp_path: Path) -> None:
    base = make(tmp_path / "base.qcow2")
    (tmp_path / "tops").mkdir()
    top = overlay_on(tmp_path / "tops" / "top.qcow2", "../base.qcow2")
    with (
        pytest.raises(RefusedError, match=r"base\.qcow2 is also the backing file"),
        InPlace([Disk(top), Disk(base)], allow=[tmp_path]),
    ):
        pytest.fail("it was accepted")


def test_a_path_too_long_for_a_header_is_refused(tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*["d" * 200] * 5)
    directory.mkdir(parents=True)
    image = make(directory / "disk.qcow2")
    with pytest.raises(RefusedError, match="too long for a qcow2 header"), InPlace([Disk(image)]):
        pytest.fail("it was accepted")
    assert list(directory.iterdir()) == [image]


def test_another_name_of_the_image_is_mentioned(tmp_path: Path) -> None:
    """Its content changes as well: a copy by ``cp -l`` is none."""
    image = make(tmp_path / "disk.qcow2")
    (tmp_path / "template.qcow2").hardlink_to(image)
    with InPlace([Disk(image)]) as transaction:
        (warning,) = transaction.warnings
        assert "has 1 more name(s) (hard links), whose content changes with it" in warning
