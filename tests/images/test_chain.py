"""Names in headers are followed only where the person allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.disk_images import (
    KINDS,
    MIB,
    OLD,
    SIZE,
    Kind,
    empty,
    holds,
    make,
    overlay_on,
    tool,
)
from unclone.images.chain import MAX_DEPTH, read_chain
from unclone.images.errors import ExitStatus, RefusedError, UncloneError, UsageError
from unclone.images.formats.header import Format
from unclone.images.image import blockdev, qemu_name, require_writable

BY_NAME = {str(kind): kind for kind in KINDS}


def test_a_chain_is_read_to_its_end(tmp_path: Path) -> None:
    make(tmp_path / "base.raw", BY_NAME["raw"])
    overlay_on(tmp_path / "middle.qcow2", "base.raw", "raw")
    top = overlay_on(tmp_path / "top.qcow2", "middle.qcow2")
    found = read_chain(top)
    assert [(image.path.name, image.format) for image in found.chain] == [
        ("top.qcow2", Format.QCOW2),
        ("middle.qcow2", Format.QCOW2),
        ("base.raw", Format.RAW),
    ]
    assert found.backing_files == (tmp_path / "middle.qcow2", tmp_path / "base.raw")
    assert found.virtual_size == SIZE


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_qemu_opens_what_the_description_says(tmp_path: Path, kind: Kind) -> None:
    # Names that would be an option or a protocol to a careless command line.
    directory = tmp_path / "nbd:odd, 'name'\" é"
    directory.mkdir()
    path = make(directory / "-f,raw=x y.img", kind)
    described = qemu_name(blockdev(read_chain(path), locked=False))
    assert f'"virtual-size": {SIZE}' in tool("qemu-img", "info", "--output=json", described)


def test_extents_and_data_files_belong_to_the_image(tmp_path: Path) -> None:
    split = make(tmp_path / "split.vmdk", BY_NAME["vmdk-twoGbMaxExtentSparse"])
    assert read_chain(split).files == (split, tmp_path / "split-s001.vmdk")
    path = tmp_path / "disk.qcow2"
    tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={tmp_path}/d", path, "1M")
    assert read_chain(path).files == (path, tmp_path / "d")


def test_a_symlinked_image_is_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    make(tmp_path / "real" / "base.qcow2")
    image = overlay_on(tmp_path / "real" / "disk.qcow2", "base.qcow2")
    (tmp_path / "link.qcow2").symlink_to(image)
    assert read_chain(tmp_path / "link.qcow2").path == image


@pytest.mark.parametrize(
    ("backing", "words"),
    [
        ("/etc/passwd", "outside its directory: /etc/passwd"),
        ("../outside.qcow2", "outside its directory"),
        ("link-outside.qcow2", "outside its directory"),
        ("missing.qcow2", r"missing: .*missing\.qcow2"),
        ("nbd:localhost:10809", "not a plain file name: nbd:localhost"),
        ("http://example.org/x", "not a plain file name"),
        ('json:{"driver":"null-co"}', "not a plain file name"),
        ("a\x1b[31mb", r"not a plain file name: a\\x1b\[31mb"),
        ("loop", "cannot be reached: loop"),
        ("n" * 300, "cannot be reached: nnn"),
        ("fifo", "not a regular file"),
        ("empty", "is empty"),
        ("folder", "not a regular file"),
    ],
    ids=str,
)
def test_a_backing_file_out_of_bounds_is_refused(tmp_path: Path, backing: str, words: str) -> None:
    directory = tmp_path / "images"
    directory.mkdir()
    make(tmp_path / "outside.qcow2")
    (directory / "link-outside.qcow2").symlink_to("../outside.qcow2")
    (directory / "loop").symlink_to("loop")
    (directory / "empty").touch()
    (directory / "folder").mkdir()
    os.mkfifo(directory / "fifo")
    image = overlay_on(directory / "disk.qcow2", backing)
    with pytest.raises(RefusedError, match=words) as caught:
        read_chain(image)
    assert caught.value.hint


def test_a_backing_file_elsewhere_can_be_allowed(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "clones").mkdir()
    base = make(tmp_path / "golden" / "base.qcow2")
    image = overlay_on(tmp_path / "clones" / "disk.qcow2", base)
    with pytest.raises(RefusedError, match="outside its directory") as caught:
        read_chain(image)
    assert f"--allow-dir {base.parent}" in caught.value.hint
    assert read_chain(image, allow=[base.parent]).backing_files == (base,)


@pytest.mark.parametrize("said", ["", "nbd", "luks"])
def test_the_format_of_a_backing_file_is_never_guessed(tmp_path: Path, said: str) -> None:
    make(tmp_path / "base.qcow2")
    image = overlay_on(tmp_path / "disk.qcow2", "base.qcow2")
    content = image.read_bytes()
    start = content.index(b"\xe2\x79\x2a\xca")  # the backing format extension, "qcow2"
    field = len(said).to_bytes(4, "big") + said.encode()
    image.write_bytes(content[: start + 4] + field.ljust(12, b"\0") + content[start + 16 :])
    with pytest.raises(RefusedError, match="does not say which format its backing file") as caught:
        read_chain(image)
    assert "qemu-img rebase -u" in caught.value.hint


def test_a_loop_is_refused(tmp_path: Path) -> None:
    overlay_on(tmp_path / "a.qcow2", "b.qcow2")
    overlay_on(tmp_path / "b.qcow2", "a.qcow2")
    with pytest.raises(RefusedError, match="loop"):
        read_chain(tmp_path / "a.qcow2")


@pytest.mark.slow
def test_a_chain_has_an_end(tmp_path: Path) -> None:
    for number in range(MAX_DEPTH + 2):
        overlay_on(tmp_path / f"{number}.qcow2", f"{number + 1}.qcow2")
    with pytest.raises(RefusedError, match=f"more than {MAX_DEPTH} other images"):
        read_chain(tmp_path / "0.qcow2")


@pytest.mark.parametrize("extent", ["/etc/passwd", "../x", "nbd:x"])
def test_an_extent_out_of_bounds_is_refused(tmp_path: Path, extent: str) -> None:
    image = make(tmp_path / "disk.vmdk", BY_NAME["vmdk-monolithicFlat"])
    image.write_text(image.read_text().replace("disk-flat.vmdk", extent))
    with pytest.raises(RefusedError, match="the data file of"):
        read_chain(image)


def test_an_extent_that_is_too_short_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.vmdk", BY_NAME["vmdk-monolithicFlat"])
    with (tmp_path / "disk-flat.vmdk").open("r+b") as file:
        file.truncate(MIB)
    with pytest.raises(RefusedError, match=r"disk-flat\.vmdk is truncated"):
        read_chain(image)


def test_an_extent_used_twice_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.vmdk", BY_NAME["vmdk-monolithicFlat"])
    line = next(x for x in image.read_text().splitlines() if x.startswith("RW"))
    image.write_text(image.read_text().replace(line, f"{line}\n{line}"))
    with pytest.raises(RefusedError, match="more than once"):
        read_chain(image)


def test_an_extent_cannot_name_further_ones(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.vmdk", BY_NAME["vmdk-twoGbMaxExtentSparse"])
    inner = make(tmp_path / "inner.vmdk", BY_NAME["vmdk-monolithicFlat"])
    (tmp_path / "disk-s001.vmdk").write_bytes(inner.read_bytes())
    with pytest.raises(RefusedError, match="is one itself"):
        read_chain(image)


def test_an_image_to_be_repaired_is_only_read_for_repair(tmp_path: Path) -> None:
    image = empty(tmp_path / "disk.qcow2", BY_NAME["qcow2"])
    content = bytearray(image.read_bytes())
    content[79] = 1  # the dirty bit
    image.write_bytes(content)
    with pytest.raises(RefusedError, match="not closed cleanly") as caught:
        read_chain(image)
    assert "qemu-img check -r all" in caught.value.hint
    assert read_chain(image, repairable=True).path == image


def _missing(path: Path) -> None:
    del path


def _directory(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.touch()


def _device(path: Path) -> None:
    path.symlink_to("/dev/null")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("place", "words", "status"),
    [
        (_missing, "disk.qcow2 does not exist", ExitStatus.USAGE),
        (_directory, "disk.qcow2 is a directory", ExitStatus.USAGE),
        (_loop, "disk.qcow2 cannot be reached", ExitStatus.USAGE),
        (_empty, "disk.qcow2 is empty", ExitStatus.REFUSED),
        (_device, "/dev/null is a device", ExitStatus.REFUSED),
        (_fifo, "disk.qcow2 is not a regular file", ExitStatus.REFUSED),
    ],
    ids=["missing", "directory", "loop", "empty", "device", "fifo"],
)
def test_what_is_no_image_file_is_named(
    tmp_path: Path, place: object, words: str, status: ExitStatus
) -> None:
    assert callable(place)
    path = tmp_path / "disk.qcow2"
    place(path)
    with pytest.raises(UncloneError, match=words) as caught:
        read_chain(path)
    assert caught.value.status is status


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"disk\\xff\.qcow2 is not valid UTF-8"):
        read_chain(Path(os.fsdecode(os.fsencode(tmp_path) + b"/disk\xff.qcow2")))


def test_a_read_only_file_is_refused_even_for_root(tmp_path: Path) -> None:
    path = make(tmp_path / "disk.qcow2")
    require_writable(path)
    path.chmod(0o444)
    with pytest.raises(RefusedError, match=r"disk\.qcow2 is read-only") as caught:
        require_writable(path)
    assert "--output" in caught.value.hint
    assert holds(path, OLD, MIB, MIB)
