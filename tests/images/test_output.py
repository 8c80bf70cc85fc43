"""``--output``: the source is never touched, and the result is complete or not there."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.disk_images import (
    KINDS,
    MIB,
    NEW,
    OLD,
    Kind,
    digests,
    fill,
    holds,
    make,
    overlay_on,
    sound,
    tool,
)
from tests.support.selection import EVERY_KIND, slow_but
from unclone.images.errors import ExitStatus, InUseError, RefusedError, UncloneError, UsageError
from unclone.images.formats.header import Format
from unclone.images.formats.table import detect
from unclone.images.lock import ImageLock
from unclone.images.output import ToOutput
from unclone.images.overlay import claim_path, output_overlay_path, partial_path
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace

BY_NAME = {str(kind): kind for kind in KINDS}


def write(
    source: Path, output: Path, *, fmt: Format | None = None, overwrite: bool = False
) -> None:
    with ToOutput([Disk(source)], [output], format=fmt, overwrite=overwrite) as transaction:
        fill(transaction.overlays[0], NEW, 3 * MIB, MIB)
        transaction.commit()


def is_new(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, OLD, MIB, MIB, fmt) and holds(image, NEW, 3 * MIB, MIB, fmt)


def folders(directory: Path) -> tuple[Path, Path]:
    source, target = directory / "golden", directory / "clones"
    source.mkdir()
    target.mkdir()
    return source, target


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
def test_the_output_has_the_format_of_the_source(tmp_path: Path, kind: Kind) -> None:
    source, target = folders(tmp_path)
    image = make(source / "disk", kind)
    before = digests(source.iterdir())
    output = target / "clone"
    write(image, output)
    with output.open("rb") as file:
        assert detect(file, name="clone", suffix="") == kind.format
    assert is_new(output, kind.format)
    assert sound(output, kind.format)
    assert digests(source.iterdir()) == before
    assert list(target.iterdir()) == [output]


@pytest.mark.parametrize("fmt", list(Format))
def test_the_output_can_have_another_format(tmp_path: Path, fmt: Format) -> None:
    image = make(tmp_path / "disk.qcow2")
    write(image, tmp_path / "clone", fmt=fmt)
    assert is_new(tmp_path / "clone", fmt)


@pytest.mark.slow
def test_a_qcow2_keeps_its_version_and_cluster_size(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2", Kind("x", "qcow2", "compat=0.10,cluster_size=128k"))
    write(image, tmp_path / "clone.qcow2")
    found = tool("qemu-img", "info", tmp_path / "clone.qcow2")
    assert "compat: 0.10" in found
    assert "cluster_size: 131072" in found


@pytest.mark.slow
def test_the_output_stands_alone(tmp_path: Path) -> None:
    make(tmp_path / "base.qcow2")
    image = overlay_on(tmp_path / "disk.qcow2", "base.qcow2")
    write(image, tmp_path / "clone.qcow2")
    assert "backing file" not in tool("qemu-img", "info", tmp_path / "clone.qcow2")
    assert is_new(tmp_path / "clone.qcow2")


@pytest.mark.slow
def test_what_cannot_be_changed_in_place_can_be_copied(tmp_path: Path) -> None:
    make(tmp_path / "source.qcow2")
    image = tmp_path / "disk.vmdk"
    tool(
        "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
        tmp_path / "source.qcow2", image,
    )  # fmt: skip
    image.chmod(0o444)
    write(image, tmp_path / "clone.qcow2", fmt=Format.QCOW2)
    assert is_new(tmp_path / "clone.qcow2")


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o644, 0o644), (0o640, 0o640), (0o444, 0o644), (0o600, 0o600)]
)
def test_the_output_is_not_more_open_than_the_source(
    tmp_path: Path, mode: int, expected: int
) -> None:
    image = make(tmp_path / "disk.qcow2")
    image.chmod(mode)
    write(image, tmp_path / "clone.qcow2")
    assert stat.S_IMODE((tmp_path / "clone.qcow2").stat().st_mode) == expected


@pytest.mark.slow
def test_several_disks_have_several_outputs(tmp_path: Path) -> None:
    images = [make(tmp_path / name) for name in ("a.qcow2", "b.qcow2")]
    outputs = [tmp_path / "c.qcow2", tmp_path / "d.qcow2"]
    with ToOutput([Disk(image) for image in images], outputs) as transaction:
        for overlay in transaction.overlays:
            fill(overlay, NEW, 3 * MIB, MIB)
        transaction.commit()
    assert all(is_new(output) for output in outputs)
    with pytest.raises(UsageError, match=r"2 disk\(s\) need as many outputs, but 1"):
        ToOutput([Disk(image) for image in images], outputs[:1])


@pytest.mark.slow
def test_an_image_being_read_can_be_copied_and_one_being_written_cannot(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with ImageLock() as lock:
        lock.shared([image])
        write(image, tmp_path / "clone.qcow2")
    with InPlace([Disk(image)]), pytest.raises(InUseError, match=r"disk\.qcow2 is in use"):
        write(image, tmp_path / "other.qcow2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone.qcow2", "disk.qcow2"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())

    def fail() -> None:
        with ToOutput([Disk(image)], [tmp_path / "clone.qcow2"]) as transaction:
            fill(transaction.overlays[0], NEW, 3 * MIB, MIB)
            raise error

    with pytest.raises(error):
        fail()
    assert digests(tmp_path.iterdir()) == before


def unchanged(
    directory: Path, image: Path, output: Path, words: str, *, overwrite: bool = False
) -> None:
    before = digests(path for path in directory.rglob("*") if path.is_file())
    with pytest.raises(UncloneError, match=words) as caught:
        write(image, output, overwrite=overwrite)
    assert caught.value.hint
    assert caught.value.status in {ExitStatus.USAGE, ExitStatus.IN_USE, ExitStatus.FAILED}
    assert digests(path for path in directory.rglob("*") if path.is_file()) == before


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    (tmp_path / "clone.qcow2").write_text("mine")
    unchanged(tmp_path, image, tmp_path / "clone.qcow2", r"clone\.qcow2 already exists")


def test_an_existing_file_can_be_replaced(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    (tmp_path / "clone.qcow2").write_text("mine")
    write(image, tmp_path / "clone.qcow2", overwrite=True)
    assert is_new(tmp_path / "clone.qcow2")


def test_an_existing_file_in_use_is_not_replaced(tmp_path: Path) -> None:
    image, output = make(tmp_path / "disk.qcow2"), make(tmp_path / "clone.qcow2")
    with ImageLock() as lock:
        lock.shared([output])
        unchanged(tmp_path, image, output, r"clone\.qcow2 is in use", overwrite=True)


def test_a_symlink_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    image, other = make(tmp_path / "disk.qcow2"), tmp_path / "other"
    other.write_text("other")
    (tmp_path / "clone.qcow2").symlink_to("other")
    unchanged(tmp_path, image, tmp_path / "clone.qcow2", "already exists")
    write(image, tmp_path / "clone.qcow2", overwrite=True)
    assert other.read_text() == "other"
    assert not (tmp_path / "clone.qcow2").is_symlink()


@pytest.mark.parametrize("name", ["disk.qcow2", "base.qcow2", "hardlink.qcow2"])
def test_the_output_is_never_part_of_the_source(tmp_path: Path, name: str) -> None:
    make(tmp_path / "base.qcow2")
    image = overlay_on(tmp_path / "disk.qcow2", "base.qcow2")
    (tmp_path / "hardlink.qcow2").hardlink_to(image)
    unchanged(tmp_path, image, tmp_path / name, "is the image itself", overwrite=True)


def test_the_output_needs_a_directory(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    unchanged(tmp_path, image, tmp_path / "no" / "clone.qcow2", "directory of the output")
    (tmp_path / "loop").symlink_to("loop")
    unchanged(tmp_path, image, tmp_path / "loop" / "clone.qcow2", "directory of the output")
    (tmp_path / "folder").mkdir()
    unchanged(tmp_path, image, tmp_path / "folder", "already exists", overwrite=True)


def test_the_name_of_the_output_is_utf8(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.qcow2"))
    with pytest.raises(UsageError, match="not valid UTF-8"):
        ToOutput([Disk(image)], [output])


@pytest.mark.slow
def test_two_runs_do_not_write_the_same_output(tmp_path: Path) -> None:
    image, output = make(tmp_path / "disk.qcow2"), tmp_path / "clone.qcow2"
    with ToOutput([Disk(image)], [output]) as transaction:
        with pytest.raises(InUseError, match=r"already writing .*clone\.qcow2"):
            write(image, output)
        with pytest.raises(InUseError):
            recover(output)
        fill(transaction.overlays[0], NEW, 3 * MIB, MIB)
        transaction.commit()
    assert is_new(output)


def test_a_source_left_half_done_is_not_copied(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    clone = tmp_path / "clone.qcow2"
    marker = tmp_path / ".disk.qcow2.unclone-journal.json"
    marker.write_text(
        '{"version": 1, "state": "committed", "disks": '
        '[{"image": "disk.qcow2", "format": "qcow2", "inode": 1, "birth": "1"}]}'
    )
    with pytest.raises(RefusedError, match=r"disk\.qcow2 is incomplete") as caught:
        write(image, clone)
    assert "unclone recover" in caught.value.hint
    assert not clone.exists()


# -- SIGKILL -------------------------------------------------------------------------------------

RUN = f"""
import sys
from pathlib import Path
from unclone.images.output import ToOutput
from unclone.images.transaction import Disk
from tests.support.disk_images import fill
with ToOutput([Disk(Path(sys.argv[1]))], [Path(sys.argv[2])]) as transaction:
    fill(transaction.overlays[0], {NEW}, {3 * MIB}, {MIB})
    transaction.commit()
"""
POINTS = {"claim": claim_path, "overlay": output_overlay_path, "partial": partial_path}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["recover", "again"])
@pytest.mark.parametrize("point", slow_but({"partial"}, POINTS))
def test_a_killed_run_leaves_no_output_and_can_be_cleared(
    tmp_path: Path, point: str, way: str
) -> None:
    image, output = make(tmp_path / "disk.qcow2"), tmp_path / "clone.qcow2"
    before = digests([image])
    with subprocess.Popen([sys.executable, "-c", RUN, image, output]) as run:
        while run.poll() is None and not POINTS[point](output).exists():
            time.sleep(0)
        run.send_signal(signal.SIGKILL)
    if not output.exists():
        wait_until_free(output)
        if way == "recover":
            assert recover(output).action is Action.DISCARDED
            assert digests(tmp_path.iterdir()) == before
        write(image, output)
    assert is_new(output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clone.qcow2", "disk.qcow2"]
    assert digests([image]) == before


def wait_until_free(output: Path) -> None:
    """Until the last tool of the killed run has followed it; it holds the claim so long."""
    while claim_path(output).exists():
        try:
            with ImageLock() as lock:
                lock.exclusive([claim_path(output)])
            return
        except InUseError:
            time.sleep(0.01)
