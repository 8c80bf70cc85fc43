"""What an interrupted run leaves behind is finished or discarded, and never guessed about."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from images import journal
from images.errors import InUseError, RefusedError, UncloneError, UsageError
from images.files import identity
from images.journal import Entry
from images.lock import ImageLock
from images.overlay import journal_path, overlay_path, run_files
from images.recovery import Action, recover
from images.transaction import Disk, InPlace
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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from images.recovery import Recovery

BY_NAME = {str(kind): kind for kind in KINDS}


def interrupt(images: Sequence[Path], *, committed: bool) -> None:
    """Leave behind what a run over *images* has on disk just before or after its marker."""
    with InPlace([Disk(path) for path in images]) as transaction:
        for path in transaction.overlays:
            fill(path, NEW, 3 * MIB, MIB)
        if committed:
            journal.write([Entry(i.path, i.format, identity(i.path)) for i in transaction.images])
        left = [path for image in images for path in (overlay_path(image), journal_path(image))]
        for path in (path for path in left if path.exists()):
            shutil.copy2(path, path.with_name(f"{path.name}.kept"))
    for path in left:
        kept = path.with_name(f"{path.name}.kept")
        if kept.exists():
            kept.rename(path)


def is_old(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, OLD, MIB, MIB, fmt) and holds(image, 0, 3 * MIB, MIB, fmt)


def is_new(image: Path, fmt: str = "qcow2") -> bool:
    return holds(image, OLD, MIB, MIB, fmt) and holds(image, NEW, 3 * MIB, MIB, fmt)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# -- finished or discarded -----------------------------------------------------------------------


def test_nothing_to_recover(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())
    found = recover(image)
    assert (found.action, found.images) == (Action.NOTHING, (image,))
    assert "nothing to recover" in str(found)
    assert digests(tmp_path.iterdir()) == before


def test_without_a_marker_the_changes_are_discarded(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())
    interrupt([image], committed=False)
    for path in run_files(image):
        path.touch()
    journal_path(image).unlink()
    assert overlay_path(image).exists()
    found = recover(image)
    assert (found.action, found.images) == (Action.DISCARDED, (image,))
    assert "as it was" in str(found)
    assert digests(tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_with_a_marker_the_changes_are_finished(tmp_path: Path, kind: Kind) -> None:
    image = make(tmp_path / f"disk.{kind.format}", kind)
    before = names(tmp_path)
    interrupt([image], committed=True)
    assert is_old(image, kind.format)
    found = recover(image)
    assert (found.action, found.images) == (Action.FINISHED, (image,))
    assert "complete" in str(found)
    assert is_new(image, kind.format)
    assert sound(image, kind.format)
    assert names(tmp_path) == before
    assert recover(image).action is Action.NOTHING


def test_what_a_finished_run_left_behind_is_removed(tmp_path: Path) -> None:
    images = three(tmp_path)
    interrupt(images, committed=True)
    left = {path: path.read_bytes() for path in images + list(map(overlay_path, images))}
    entries = journal.read(images[0])
    assert isinstance(entries, journal.Marker)
    journal.write_finished(entries.entries)
    overlay_path(images[2]).unlink()
    found = recover(images[1])
    assert found.action is Action.FINISHED
    assert all(image.read_bytes() == left[image] for image in images)
    left_names = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left_names == ["data.qcow2", "disk.qcow2", "swap.qcow2"]


def test_a_run_that_had_almost_finished_is_finished_again(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    kept = digests([overlay_path(image)])
    left = {path: path.read_bytes() for path in (overlay_path(image), journal_path(image))}
    recover(image)
    for path, content in left.items():
        path.write_bytes(content)
    assert digests([overlay_path(image)]) == kept
    assert recover(image).action is Action.FINISHED
    assert is_new(image)


@pytest.mark.parametrize("committed", [False, True])
def test_the_next_run_recovers_by_itself(tmp_path: Path, committed: bool) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=committed)
    with InPlace([Disk(image)]) as transaction:
        (found,) = transaction.recovered
        assert found.action is (Action.FINISHED if committed else Action.DISCARDED)
    assert is_new(image) if committed else is_old(image)


def test_a_chain_outside_the_directory_has_to_be_allowed_again(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    base = make(tmp_path / "golden" / "base.qcow2")
    (tmp_path / "clones").mkdir()
    image = overlay_on(tmp_path / "clones" / "disk.qcow2", base)
    with InPlace([Disk(image)], allow=[base.parent]) as transaction:
        fill(transaction.overlays[0], NEW, 3 * MIB, MIB)
        journal.write([Entry(i.path, i.format, identity(i.path)) for i in transaction.images])
        left = {path: path.read_bytes() for path in (overlay_path(image), journal_path(image))}
    for path, content in left.items():
        path.write_bytes(content)
    with pytest.raises(RefusedError, match="outside its directory"):
        recover(image)
    assert recover(image, allow=[base.parent]).action is Action.FINISHED
    assert is_new(image)


def test_the_directory_may_have_moved(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    image = make(tmp_path / "before" / "disk.qcow2")
    interrupt([image], committed=True)
    (tmp_path / "before").rename(tmp_path / "after")
    assert recover(tmp_path / "after" / "disk.qcow2").action is Action.FINISHED
    assert is_new(tmp_path / "after" / "disk.qcow2")


# -- several disks -------------------------------------------------------------------------------


def three(directory: Path) -> list[Path]:
    """Three disks, one of them in another directory."""
    (directory / "elsewhere").mkdir()
    return [
        make(directory / "disk.qcow2"),
        make(directory / "elsewhere" / "data.qcow2"),
        make(directory / "swap.qcow2"),
    ]


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_a_run_is_finished_from_any_of_its_disks(tmp_path: Path, asked: int) -> None:
    images = three(tmp_path)
    interrupt(images, committed=True)
    found = recover(images[asked])
    assert (found.action, found.images) == (Action.FINISHED, tuple(images))
    assert all(is_new(image) for image in images)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["data.qcow2", "disk.qcow2", "swap.qcow2"]


def test_without_the_first_marker_no_disk_is_committed(tmp_path: Path) -> None:
    images = three(tmp_path)
    before = digests(images)
    interrupt(images, committed=True)
    journal_path(images[0]).unlink()  # the pointers are written before it
    assert [recover(image).action for image in images] == [Action.DISCARDED] * 3
    assert digests(images) == before


def test_a_pointer_to_a_run_that_does_not_know_the_disk_is_nothing(tmp_path: Path) -> None:
    images = three(tmp_path)
    interrupt(images[:2], committed=True)
    shutil.copy(journal_path(images[1]), journal_path(images[2]))
    pointer = {"version": 1, "first": "disk.qcow2"}
    journal_path(images[2]).write_text(json.dumps(pointer))
    assert recover(images[2]).action is Action.DISCARDED
    assert is_old(images[2])
    assert recover(images[0]).action is Action.FINISHED


def test_a_disk_of_the_run_that_is_in_use_stops_all(tmp_path: Path) -> None:
    images = three(tmp_path)
    before = digests(images)
    interrupt(images, committed=True)
    with ImageLock() as lock:
        lock.shared([images[2]])
        with pytest.raises(InUseError, match=r"swap\.qcow2"):
            recover(images[0])
    assert digests(images) == before
    assert recover(images[0]).action is Action.FINISHED


# -- journals that are not what they seem --------------------------------------------------------


GARBAGE = {
    "empty": b"",
    "half": b'{"version": 1, "state": "comm',
    "zeros": bytes(512),
    "not JSON": b"\xff\xfe\x00",
    "not an object": b"[1]",
    "a number": b"7",
    "no state": b'{"version": 1}',
    "not committed": b'{"version": 1, "state": "prepared", "disks": []}',
    "no disks": b'{"version": 1, "state": "committed", "disks": []}',
    "wrong types": b'{"version": 1, "state": "committed", "disks": 5}',
    "odd format": b'{"version":1,"state":"committed","disks":[{"image":"a","format":"x","inode":1,'
    b'"birth":"1"}]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_an_incomplete_journal_is_no_marker(tmp_path: Path, content: bytes) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())
    interrupt([image], committed=True)
    journal_path(image).write_bytes(content)
    assert recover(image).action is Action.DISCARDED
    assert digests(tmp_path.iterdir()) == before


def edit(image: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Change the first disk in the journal of *image*."""
    found = json.loads(journal_path(image).read_text())
    change(found["disks"][0])
    journal_path(image).write_text(json.dumps(found))


def refused(image: Path, words: str) -> None:
    """Recovering *image* is refused with *words*, and nothing in its directory changes."""
    before = digests(path for path in image.parent.rglob("*") if path.is_file())
    with pytest.raises(RefusedError, match=words) as caught:
        recover(image)
    assert caught.value.hint
    assert digests(path for path in image.parent.rglob("*") if path.is_file()) == before


def test_a_file_that_took_the_name_of_the_image_is_not_written_to(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    image.unlink()
    make(image)  # may well get the same inode number
    refused(image, "another file has taken its name")
    assert is_old(image)


def test_a_copy_of_the_whole_directory_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    image = make(tmp_path / "one" / "disk.qcow2")
    interrupt([image], committed=True)
    tool("cp", "-a", tmp_path / "one", tmp_path / "two")
    refused(tmp_path / "two" / "disk.qcow2", "is not the file that")


def test_an_image_renamed_meanwhile_is_noticed(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    image.rename(tmp_path / "renamed.qcow2")
    with (
        pytest.raises(RefusedError, match=r"renamed\.qcow2 was renamed in the middle") as caught,
        InPlace([Disk(tmp_path / "renamed.qcow2")]),
    ):
        pytest.fail("it was accepted")
    assert "old name" in caught.value.hint
    (tmp_path / "renamed.qcow2").rename(image)
    assert recover(image).action is Action.FINISHED


def test_a_journal_cannot_speak_for_another_image(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    make(tmp_path / "other.qcow2")
    interrupt([image], committed=True)
    edit(image, lambda disk: disk.update(image="other.qcow2"))
    refused(image, r"belongs to .*other\.qcow2")


def test_a_journal_cannot_reach_into_another_directory(tmp_path: Path) -> None:
    images = three(tmp_path)
    interrupt(images, committed=True)
    journal_path(images[1]).unlink()  # the other directory knows nothing of it
    refused(images[0], r"data\.qcow2, which does not belong to its run")


@pytest.mark.parametrize("name", ["../disk.qcow2", "elsewhere/data.qcow2", "/x/../y", "", "."])
def test_a_journal_with_odd_paths_is_no_marker(tmp_path: Path, name: str) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())
    interrupt([image], committed=True)
    edit(image, lambda disk: disk.update(image=name))
    assert recover(image).action is Action.DISCARDED
    assert digests(tmp_path.iterdir()) == before


def test_a_disk_of_the_run_that_is_gone_is_named(tmp_path: Path) -> None:
    images = three(tmp_path)
    interrupt(images, committed=True)
    images[2].unlink()
    refused(images[0], r"swap\.qcow2, which is not there any more")


def test_a_journal_of_another_version_is_left_alone(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    found = json.loads(journal_path(image).read_text())
    journal_path(image).write_text(json.dumps({**found, "version": 99}))
    refused(image, "another version of unclone")


@pytest.mark.parametrize("which", [journal_path, overlay_path], ids=["journal", "overlay"])
def test_symlinks_are_not_followed(tmp_path: Path, which: Callable[[Path], Path]) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    which(image).rename(tmp_path / "target")
    which(image).symlink_to("target")
    refused(image, "cannot be read|is missing")


def test_a_journal_that_is_a_fifo_does_not_hang(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    journal_path(image).unlink()
    os.mkfifo(journal_path(image))
    with pytest.raises(RefusedError, match="is not a regular file"):
        recover(image)


def test_a_marker_without_its_overlay_is_explained(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    overlay_path(image).unlink()
    refused(image, r"overlay .* is missing, so .*disk\.qcow2 may be incomplete")


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"x" * 70000), lambda path: os.truncate(path, 5 * 65536)],
    ids=["garbage", "truncated"],
)
def test_a_marker_with_a_damaged_overlay_is_explained(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    damage(overlay_path(image))
    before = digests(tmp_path.iterdir())
    with pytest.raises(UncloneError, match="unclone-overlay"):
        recover(image)
    assert digests(tmp_path.iterdir()) == before


def test_what_is_in_use_is_not_recovered(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=True)
    before = digests(tmp_path.iterdir())
    with ImageLock() as lock:
        lock.shared([image])
        with pytest.raises(InUseError, match=r"disk\.qcow2 is in use"):
            recover(image)
    assert digests(tmp_path.iterdir()) == before


def test_an_image_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"disk\.qcow2 does not exist"):
        recover(tmp_path / "disk.qcow2")


# -- SIGKILL -------------------------------------------------------------------------------------

RUN = f"""
import sys
from pathlib import Path
from images.transaction import Disk, InPlace
from tests.support.disk_images import fill
with InPlace([Disk(Path(sys.argv[1]))]) as transaction:
    print("open", flush=True)
    for part in range(4):
        fill(transaction.overlays[0], {NEW}, (3 + 4 * part) * {MIB}, 4 * {MIB})
    print("commit", flush=True)
    transaction.commit()
"""
CHANGED = (3 * MIB, 16 * MIB)


def seen(ending: str) -> Callable[[Path], bool]:
    return lambda directory: any(name.endswith(ending) for name in os.listdir(directory))


def gone(ending: str) -> Callable[[Path], bool]:
    """True once a name with *ending* has been there and is not any more."""
    state = {"seen": False}

    def condition(directory: Path) -> bool:
        there = seen(ending)(directory)
        state["seen"] |= there
        return state["seen"] and not there

    return condition


def at_size(ending: str, size: int) -> Callable[[Path], bool]:
    def condition(directory: Path) -> bool:
        return any(
            entry.name.endswith(ending) and entry.stat().st_size >= size
            for entry in os.scandir(directory)
        )

    return condition


def finished(directory: Path) -> bool:
    found = journal.read(directory / "disk.img")
    return isinstance(found, journal.Marker) and found.finished


def written(directory: Path) -> bool:
    return seen("journal.json")(directory) and (
        (directory / "disk.img").stat().st_mtime_ns
        > (directory / ".disk.img.unclone-journal.json").stat().st_mtime_ns
    )


def after(condition: Callable[[Path], bool], seconds: float) -> Callable[[Path], bool]:
    state = {"since": 0.0}

    def later(directory: Path) -> bool:
        if not state["since"] and condition(directory):
            state["since"] = time.monotonic()
        return bool(state["since"]) and time.monotonic() - state["since"] >= seconds

    return later


#: Where a run is killed: at what its directory looks like, and so long after.
POINTS: dict[str, Callable[[], Callable[[Path], bool]]] = {
    "at the start": lambda: lambda directory: True,
    "0.15 s later": lambda: after(lambda directory: True, 0.15),
    "0.25 s later": lambda: after(lambda directory: True, 0.25),
    "0.35 s later": lambda: after(lambda directory: True, 0.35),
    "empty overlay": lambda: seen("overlay.qcow2"),
    "overlay made": lambda: at_size("overlay.qcow2", 65536),
    "overlay of 5 MiB": lambda: at_size("overlay.qcow2", 5 * MIB),
    "overlay complete": lambda: after(at_size("overlay.qcow2", 16 * MIB), 0.05),
    "reserve": lambda: seen("reserve"),
    "reserve full": lambda: at_size("reserve", 16 * MIB),
    "journal being written": lambda: seen("journal.json.new"),
    "journal": lambda: seen("journal.json"),
    "reserve gone": lambda: gone("reserve"),
    "0.02 s into the commit": lambda: after(gone("reserve"), 0.02),
    "0.03 s into the commit": lambda: after(gone("reserve"), 0.03),
    "0.04 s into the commit": lambda: after(gone("reserve"), 0.04),
    "image being written": lambda: written,
    "0.003 s into the writing": lambda: after(written, 0.003),
    "0.01 s into the writing": lambda: after(written, 0.01),
    "marked as finished": lambda: finished,
    "overlay gone": lambda: gone("overlay.qcow2"),
    "journal gone": lambda: gone("journal.json"),
}
KILLED = ("qcow2", "raw", "vmdk-monolithicSparse", "vdi", "vhdx", "qcow2-small-clusters")
LAZY = Kind("qcow2-lazy-refcounts", "qcow2", "lazy_refcounts=on")


@pytest.mark.parametrize(
    ("point", "kind"),
    [(point, KILLED[number % len(KILLED)]) for number, point in enumerate(POINTS)]
    + [(point, "qcow2-lazy-refcounts") for point in POINTS if "writ" in point],
)
def test_a_killed_run_leaves_the_old_or_the_new_image(
    tmp_path: Path, point: str, kind: str
) -> None:
    flavour = LAZY if kind == LAZY.name else BY_NAME[kind]
    fmt = flavour.format
    directory = tmp_path / "images"
    directory.mkdir()
    image = make(directory / "disk.img", flavour)
    original, complete = tmp_path / "original.img", tmp_path / "complete.img"
    shutil.copy(image, original)
    shutil.copy(image, complete)
    fill(complete, NEW, *CHANGED, fmt)
    before = digests([image])

    kill(image, POINTS[point]())
    found = recover_when_free(image)

    if found.action is Action.FINISHED:
        assert same(image, complete, fmt)
    elif found.action is Action.DISCARDED:
        assert digests([image]) == before
    else:
        assert same(image, original, fmt) or same(image, complete, fmt)
    assert sound(image, fmt)
    assert names(directory) == ["disk.img"]
    assert recover(image).action is Action.NOTHING


def kill(image: Path, condition: Callable[[Path], bool]) -> None:
    """Start a run on *image* and SIGKILL it as soon as *condition* holds."""
    with subprocess.Popen([sys.executable, "-c", RUN, image], stdout=subprocess.PIPE) as run:
        while run.poll() is None and not condition(image.parent):
            time.sleep(0)
        run.send_signal(signal.SIGKILL)


def recover_when_free(image: Path) -> Recovery:
    """The recovery; the killed run's last tool may need a moment to follow it."""
    for _ in range(1000):
        try:
            return recover(image)
        except InUseError:
            time.sleep(0.01)
    pytest.fail("the image stayed locked")


def same(image: Path, other: Path, fmt: str) -> bool:
    done = subprocess.run(
        ["qemu-img", "compare", "-q", "-f", fmt, "-F", fmt, image, other], check=False
    )
    return done.returncode == 0
