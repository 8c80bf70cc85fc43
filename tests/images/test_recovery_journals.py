"""Journals that are not what they seem: nothing is guessed about."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    digests,
    make,
    tool,
)
from tests.support.transactions import interrupt, is_old, three
from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.images.lock import ImageLock
from unclone.images.overlay import journal_path, overlay_path
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    "infinite": b'{"version":1,"state":"committed","disks":[{"image":"a","format":"raw",'
    b'"inode":Infinity,"birth":"1"}]}',
    "null byte": b'{"version": 1, "first": "a\\u0000b"}',
    "surrogate": b'{"version": 1, "first": "\\ud800"}',
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
        pytest.raises(RefusedError, match=r"was renamed after an interrupted run") as caught,
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


@pytest.mark.slow
def test_a_journal_cannot_reach_into_another_directory(tmp_path: Path) -> None:
    images = three(tmp_path)
    interrupt(images, committed=True)
    journal_path(images[1]).unlink()  # the other directory knows nothing of it
    refused(images[0], r"data\.qcow2, which does not belong to its run")


def test_a_directory_that_is_a_loop_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UsageError, match="cannot be reached"):
        recover(tmp_path / "loop" / "disk.qcow2")


def test_a_file_that_is_nearly_called_like_a_journal_is_none(tmp_path: Path) -> None:
    image = make(tmp_path / "disk.qcow2")
    (tmp_path / "...unclone-journal.json").write_text("{}")
    with InPlace([Disk(image)]) as transaction:
        assert transaction.warnings == ()


@pytest.mark.parametrize("name", ["../disk.qcow2", "elsewhere/data.qcow2", "/x/../y", "", "."])
def test_a_journal_with_odd_paths_is_no_marker(tmp_path: Path, name: str) -> None:
    image = make(tmp_path / "disk.qcow2")
    before = digests(tmp_path.iterdir())
    interrupt([image], committed=True)
    edit(image, lambda disk: disk.update(image=name))
    assert recover(image).action is Action.DISCARDED
    assert digests(tmp_path.iterdir()) == before


@pytest.mark.slow
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
