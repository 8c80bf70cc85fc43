"""An image is either untouched or completely done."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from images.errors import ExitStatus, InUseError, RefusedError, UncloneError, UsageError
from images.formats import Format
from images.journal import Marker, read
from images.lock import ImageLock
from images.overlay import overlay_path
from images.reading import ReadOnly
from images.recovery import Action, recover
from images.transaction import Disk, InPlace
from tests.support.disk_images import (
    KINDS,
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BY_NAME = {str(kind): kind for kind in KINDS}
VMDK = BY_NAME["vmdk-monolithicSparse"]


def change(transaction: InPlace, number: int = 0) -> None:
    fill(transaction.overlays[number], NEW, 3 * MIB, MIB)


def changed(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, NEW, 3 * MIB, MIB, fmt) and holds(image, OLD, MIB, MIB, fmt)


def run(image: Path, body: Callable[[InPlace], None]) -> None:
    """A whole transaction."""
    with InPlace([Disk(image)]) as transaction:
        body(transaction)
        transaction.commit()


# -- done ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
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


def on_a_chain(directory: Path) -> Path:
    make(directory / "base.raw", BY_NAME["raw"])
    overlay_on(directory / "middle.qcow2", "base.raw", "raw")
    return overlay_on(directory / "disk.qcow2", "middle.qcow2")


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


def with_snapshot(directory: Path) -> Path:
    path = make(directory / "disk.qcow2")
    tool("qemu-img", "snapshot", "-c", "before", path)
    return path


SHAPES = [compressed, on_a_chain, with_data_file, with_lazy_refcounts, with_snapshot]


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


def test_commit_into_a_vmdk_of_very_many_extents(tmp_path: Path) -> None:
    image = empty(tmp_path / "disk.vmdk", BY_NAME["vmdk-twoGbMaxExtentFlat"], 200 * 2048 * MIB)
    assert len(list(tmp_path.iterdir())) > 200
    with InPlace([Disk(image)]) as transaction:
        fill(transaction.overlays[0], NEW, 399 * 1024 * MIB, MIB)
        transaction.commit()
    assert holds(image, NEW, 399 * 1024 * MIB, MIB, "vmdk")


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


# -- untouched -----------------------------------------------------------------------------------


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
    tool(
        "qemu-img", "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=x",
        "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", path, "8M",
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


# -- in use --------------------------------------------------------------------------------------


def test_a_second_run_is_refused(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with InPlace([Disk(image)]) as transaction:
        with pytest.raises(InUseError, match=r"disk\.qcow2 is in use") as caught:
            InPlace([Disk(image)]).__enter__()
        assert caught.value.status is ExitStatus.IN_USE
        with pytest.raises(InUseError):
            recover(image)
        change(transaction)
        transaction.commit()
    assert changed(image)


def test_qemu_is_kept_out_for_the_whole_time(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    with InPlace([Disk(image)]):
        done = subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", "write 0 512", image],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Failed to get" in done.stderr
    assert changed(image) is False


def test_backing_files_cannot_be_changed_meanwhile(tmp_path: Path) -> None:
    image = on_a_chain(tmp_path)
    with InPlace([Disk(image)]):
        done = subprocess.run(
            ["qemu-io", "-f", "raw", "-c", "write 0 512", tmp_path / "base.raw"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Failed to get" in done.stderr


def test_an_engine_that_still_holds_the_overlay_stops_the_commit(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests([image])
    with InPlace([Disk(image)]) as transaction:
        change(transaction)
        with subprocess.Popen(
            ["qemu-io", "-f", "qcow2", transaction.overlays[0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as engine:
            assert engine.stdin is not None
            assert engine.stdout is not None
            engine.stdin.write(b"read 0 512\n")
            engine.stdin.flush()
            engine.stdout.readline()
            with pytest.raises(UncloneError, match="is still open"):
                transaction.commit()
    assert digests(tmp_path.iterdir()) == before


def test_an_image_replaced_meanwhile_is_not_written_to(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    other = make(tmp_path / "other.qcow2")
    before = digests([other])["other.qcow2"]

    def body(transaction: InPlace) -> None:
        change(transaction)
        other.rename(image)

    with pytest.raises(RefusedError, match=r"disk\.qcow2 was replaced"):
        run(image, body)
    assert digests(tmp_path.iterdir()) == {"disk.qcow2": before}


def truncate(transaction: InPlace) -> None:
    change(transaction)
    with transaction.overlays[0].open("r+b") as file:
        file.truncate(MIB)


def resize(transaction: InPlace) -> None:
    tool("qemu-img", "resize", "-q", "-f", "qcow2", transaction.overlays[0], "1G")


def replace(transaction: InPlace) -> None:
    transaction.overlays[0].write_bytes(b"x" * 1024)


def wipe_refcounts(transaction: InPlace) -> None:
    change(transaction)
    with transaction.overlays[0].open("r+b") as file:
        file.seek(2 * 65536)
        file.write(bytes(65536))


@pytest.mark.parametrize("body", [truncate, resize, replace, wipe_refcounts])
def test_a_damaged_overlay_is_not_committed(
    tmp_path: Path, body: Callable[[InPlace], None]
) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests([image])
    with pytest.raises(UncloneError, match="unclone-overlay"):
        run(image, body)
    assert digests(tmp_path.iterdir()) == before


# -- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_commit_waits_for_its_end(tmp_path: Path, number: int) -> None:
    image = make(tmp_path / "disk.qcow2")
    # Sent to the whole group, as a terminal does, while qemu-img commit is running: the overlay
    # holds enough to keep it busy until the journal has been seen.
    program = f"""
import os, sys, threading, time
from pathlib import Path
from images.transaction import Disk, InPlace
from images.overlay import journal_path
image = Path(sys.argv[1])
def interrupt():
    while not journal_path(image).exists():
        time.sleep(0.0005)
    os.killpg(0, {int(number)})
os.setpgid(0, 0)
with InPlace([Disk(image)]) as transaction:
    from tests.support.disk_images import fill
    fill(transaction.overlays[0], {NEW}, {3 * MIB}, {40 * MIB})
    threading.Thread(target=interrupt, daemon=True).start()
    transaction.commit()
print("reached", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, image], capture_output=True, text=True, check=False
    )
    assert done.stdout == "", done.stderr  # the signal did take effect
    assert done.returncode == -number, done.stderr
    assert holds(image, NEW, 3 * MIB, 40 * MIB)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.qcow2"]
    assert sound(image)


# -- a full disk ---------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24M", "tmpfs", directory],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"only root can mount a small file system: {done.stderr.strip()}")
    yield directory
    tool("umount", directory)


@pytest.mark.parametrize("kind", ["qcow2", "raw", "vdi", "vmdk-monolithicSparse"])
def test_a_disk_too_full_for_the_commit_is_noticed_before(small_disk: Path, kind: str) -> None:
    image = make(small_disk / "disk", BY_NAME[kind])
    before = digests(small_disk.iterdir())
    with pytest.raises(UncloneError, match=r"not enough space to change .*disk") as caught:
        run(image, lambda transaction: fill(transaction.overlays[0], NEW, 20 * MIB, 14 * MIB))
    assert "Free some space" in caught.value.hint
    assert caught.value.status is ExitStatus.FAILED
    assert digests(small_disk.iterdir()) == before


def test_a_full_disk_at_the_start_is_noticed(small_disk: Path) -> None:
    image = make(small_disk / "disk")
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(bytes(free))
    before = digests(small_disk.iterdir())
    with pytest.raises(UncloneError, match="No space left"), InPlace([Disk(image)]):
        pytest.fail("it was accepted")
    assert digests(small_disk.iterdir()) == before


def test_what_is_allocated_already_needs_no_space(small_disk: Path) -> None:
    image = small_disk / "disk.raw"
    image.write_bytes(bytes([OLD]) * 10 * MIB)
    with InPlace([Disk(image)]) as transaction:
        fill(transaction.overlays[0], NEW, 0, 10 * MIB)
        transaction.commit()
    assert image.read_bytes() == bytes([NEW]) * 10 * MIB


def test_a_commit_that_fails_half_way_can_be_finished(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make(small_disk / "disk.qcow2")
    ballast = small_disk / "ballast"
    # Somebody else fills the disk between the reservation and the write: played by making the
    # reservation believe that nothing is needed.
    monkeypatch.setattr("images.space.needed", lambda overlay, image: 0)

    def body(transaction: InPlace) -> None:
        fill(transaction.overlays[0], NEW, 20 * MIB, 9 * MIB)
        ballast.write_bytes(bytes(9 * MIB))

    with pytest.raises(UncloneError, match="could not be written completely") as caught:
        run(image, body)
    assert f"unclone recover {image}" in caught.value.hint
    assert isinstance(read(image), Marker)
    with pytest.raises(RefusedError, match="incomplete") as unfinished:
        ReadOnly([Disk(image)]).__enter__()
    assert "unclone recover" in unfinished.value.hint
    ballast.unlink()
    assert recover(image).action is Action.FINISHED
    assert holds(image, NEW, 20 * MIB, 9 * MIB)
    assert sound(image)
    assert [path.name for path in small_disk.iterdir()] == ["disk.qcow2"]


# -- looking only --------------------------------------------------------------------------------


def test_looking_changes_nothing_and_keeps_writers_out(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    image.chmod(0o444)
    before = digests(tmp_path.iterdir())
    with ReadOnly([Disk(image)]) as looking:
        assert looking.overlays == ()
        assert holds(looking.images[0].path, OLD, MIB, MIB)
        with ReadOnly([Disk(image)]):
            pass  # others may look as well
        image.chmod(0o644)
        with pytest.raises(InUseError), ImageLock() as lock:
            lock.exclusive([image])
        looking.commit()
    assert digests(tmp_path.iterdir()) == before
