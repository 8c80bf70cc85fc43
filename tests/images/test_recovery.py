"""What an interrupted run leaves behind is finished or discarded."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import (
    MIB,
    NEW,
    Kind,
    digests,
    fill,
    make,
    overlay_on,
    sound,
)
from tests.support.selection import EVERY_KIND
from tests.support.transactions import interrupt, is_new, is_old, names, three
from unclone.images import journal
from unclone.images.errors import InUseError, RefusedError
from unclone.images.files import identity
from unclone.images.journal import Entry
from unclone.images.lock import ImageLock
from unclone.images.overlay import journal_path, overlay_path, run_files
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY_KIND, ids=str)
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("committed", [False, True])
def test_the_next_run_recovers_by_itself(tmp_path: Path, committed: bool) -> None:
    image = make(tmp_path / "disk.qcow2")
    interrupt([image], committed=committed)
    with InPlace([Disk(image)]) as transaction:
        (found,) = transaction.recovered
        assert found.action is (Action.FINISHED if committed else Action.DISCARDED)
    assert is_new(image) if committed else is_old(image)


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_directory_may_have_moved(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    image = make(tmp_path / "before" / "disk.qcow2")
    interrupt([image], committed=True)
    (tmp_path / "before").rename(tmp_path / "after")
    assert recover(tmp_path / "after" / "disk.qcow2").action is Action.FINISHED
    assert is_new(tmp_path / "after" / "disk.qcow2")


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1, 2])
def test_a_run_is_finished_from_any_of_its_disks(tmp_path: Path, asked: int) -> None:
    images = three(tmp_path)
    interrupt(images, committed=True)
    found = recover(images[asked])
    assert (found.action, found.images) == (Action.FINISHED, tuple(images))
    assert all(is_new(image) for image in images)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["data.qcow2", "disk.qcow2", "swap.qcow2"]


@pytest.mark.slow
def test_without_the_first_marker_no_disk_is_committed(tmp_path: Path) -> None:
    images = three(tmp_path)
    before = digests(images)
    interrupt(images, committed=True)
    journal_path(images[0]).unlink()  # the pointers are written before it
    assert [recover(image).action for image in images] == [Action.DISCARDED] * 3
    assert digests(images) == before


@pytest.mark.slow
def test_a_pointer_to_a_run_that_does_not_know_the_disk_is_nothing(tmp_path: Path) -> None:
    images = three(tmp_path)
    interrupt(images[:2], committed=True)
    shutil.copy(journal_path(images[1]), journal_path(images[2]))
    pointer = {"version": 1, "first": "disk.qcow2"}
    journal_path(images[2]).write_text(json.dumps(pointer))
    assert recover(images[2]).action is Action.DISCARDED
    assert is_old(images[2])
    assert recover(images[0]).action is Action.FINISHED


@pytest.mark.slow
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
