"""A directory that others can write to: what they put there is not followed, nor taken for ours."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import digest, make
from tests.support.transactions import change, changed, is_old, run
from unclone.images import files, qemu_img
from unclone.images.errors import RefusedError, UncloneError
from unclone.images.output import ToOutput
from unclone.images.overlay import journal_path, overlay_path
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file elsewhere that must stay as it is."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    path.chmod(0o640)
    return path


@pytest.fixture(autouse=True)
def _intact(victim: Path) -> object:
    yield
    assert victim.read_bytes() == b"precious"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o640


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return make(tmp_path / "shared" / "disk.qcow2")


def test_a_link_that_waits_under_the_name_of_the_overlay(image: Path, victim: Path) -> None:
    overlay_path(image).symlink_to(victim)
    run(image, change)
    assert changed(image)


@pytest.mark.parametrize("link", [True, False])
def test_the_overlay_is_exchanged(image: Path, victim: Path, tmp_path: Path, *, link: bool) -> None:
    before = digest(image)

    def exchange(transaction: InPlace) -> None:
        (overlay,) = transaction.overlays
        copy = tmp_path / "copy"
        copy.write_bytes(overlay.read_bytes())
        if link:
            overlay.unlink()
            overlay.symlink_to(victim)
        else:
            copy.rename(overlay)

    with pytest.raises(UncloneError, match="was replaced or removed by something else"):
        run(image, exchange)
    assert digest(image) == before
    assert os.listdir(image.parent) == ["disk.qcow2"]


def test_the_image_is_exchanged_before_the_commit(image: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other.qcow2")
    before = digest(other)

    def exchange(transaction: InPlace) -> None:
        change(transaction)
        image.rename(tmp_path / "moved.qcow2")
        image.symlink_to(other)

    with pytest.raises(RefusedError, match="was replaced by another file during the run"):
        run(image, exchange)
    assert digest(other) == before
    assert is_old(tmp_path / "moved.qcow2")


def test_the_image_is_exchanged_during_the_commit(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = qemu_img.commit

    def exchange(*arguments: object, **settings: object) -> None:
        commit(*arguments, **settings)  # type: ignore[arg-type]  # as they came
        image.rename(tmp_path / "moved.qcow2")
        make(image)

    monkeypatch.setattr(qemu_img, "commit", exchange)
    with pytest.raises(UncloneError, match="replaced by another file meanwhile"):
        run(image, change)
    monkeypatch.undo()
    (tmp_path / "moved.qcow2").replace(image)  # the file that the journal is about
    assert recover(image).action is Action.FINISHED
    assert changed(image)


def test_the_draft_of_a_journal_is_exchanged(
    image: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = journal_path(image)
    draft, sync = files.draft_path(path), os.fsync

    def exchange(descriptor: int) -> None:
        sync(descriptor)
        draft.unlink()
        draft.symlink_to(victim)

    monkeypatch.setattr(os, "fsync", exchange)
    with pytest.raises(UncloneError, match="was replaced"):
        files.write_durably(path, b"{}", like=image)
    monkeypatch.undo()
    assert os.listdir(image.parent) == ["disk.qcow2"]


def test_the_unfinished_output_is_exchanged(
    image: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = qemu_img.convert

    def exchange(*arguments: object, **settings: object) -> None:
        convert(*arguments, **settings)  # type: ignore[arg-type]  # as they came
        partial = arguments[2]
        os.unlink(str(partial))
        os.symlink(victim, str(partial))

    monkeypatch.setattr(qemu_img, "convert", exchange)
    output = image.with_name("output.qcow2")
    with (
        pytest.raises(UncloneError, match="was replaced"),
        ToOutput([Disk(image)], [output]) as transaction,
    ):
        transaction.commit()
    assert os.listdir(image.parent) == ["disk.qcow2"]
