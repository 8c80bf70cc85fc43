"""A directory that others can write to: what they put there is not followed, nor taken for ours."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.disk_images import MIB, NEW, OLD, digest, digests, fill, holds, make, overlay_on
from tests.support.transactions import change, changed, interrupt, is_old, run
from unclone.images import chain, files, process, qemu_img, transaction
from unclone.images.engines.direct.disks import Disks
from unclone.images.engines.engine import Drive
from unclone.images.errors import InUseError, RefusedError, UncloneError
from unclone.images.output import ToOutput
from unclone.images.overlay import journal_path, overlay_path, partial_path
from unclone.images.recovery import Action, recover
from unclone.images.transaction import Disk, InPlace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.image import Image


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


@pytest.mark.slow
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
        partial_path(output).unlink()
        partial_path(output).symlink_to(victim)

    monkeypatch.setattr(qemu_img, "convert", exchange)
    output = image.with_name("output.qcow2")
    with (
        pytest.raises(UncloneError, match="was replaced"),
        ToOutput([Disk(image)], [output]) as transaction,
    ):
        transaction.commit()
    assert os.listdir(image.parent) == ["disk.qcow2"]


# -- what a path leads to at the moment when QEMU opens it ----------------------------------------


@contextmanager
def exchanged(path: Path, decoy: Path, *, link: bool) -> Iterator[None]:
    """*decoy* under the name of *path*, which gets its name back afterwards."""
    away = path.with_name("away")
    if not path.exists():
        yield
        return
    path.rename(away)
    if link:
        path.symlink_to(decoy)
    else:
        decoy.rename(path)
    try:
        yield
    finally:
        if link:
            path.unlink()
        else:
            path.rename(decoy)
        away.rename(path)


@pytest.fixture
def decoys(image: Path, tmp_path: Path) -> Path:
    """A folder with other images under the names that a run on *image* uses."""
    folder = tmp_path / "decoys"
    folder.mkdir()
    decoy = make(folder / image.name)
    for name in (overlay_path(image).name, partial_path(image.with_name("output.qcow2")).name):
        shutil.copy2(decoy, folder / name)
    return folder


@pytest.fixture(params=["image", "overlay", "base", "partial", "folder"])
def under_attack(
    request: pytest.FixtureRequest,
    image: Path,
    decoys: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> object:
    """Whenever ``qemu-img`` runs, a file or the folder is exchanged, and then put back."""
    path = {
        "image": image,
        "overlay": overlay_path(image),
        "base": image.with_name("base.qcow2"),
        "partial": partial_path(image.with_name("output.qcow2")),
        "folder": image.parent,
    }[request.param]
    decoy = decoys if request.param == "folder" else decoys / path.name
    if request.param == "base":
        make(path)
        fill(path, 0x33, 5 * MIB, MIB)
        image.unlink()
        overlay_on(image, path.name)
        shutil.copy2(decoys / image.name, decoy)
    run_program = process.run

    def attacked(*arguments: object, **settings: object) -> object:
        with exchanged(path, decoy, link=True):
            return run_program(*arguments, **settings)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(process, "run", attacked)
    # One after the other: what Python does meanwhile sees the exchange, and ends the run.
    serially = f"{transaction.__name__}.run_concurrently"
    monkeypatch.setattr(serially, lambda *functions: [function() for function in functions])
    before = digests(decoys.iterdir())
    yield request.param
    monkeypatch.undo()
    assert digests(decoys.iterdir()) == before


@pytest.mark.slow
def test_qemu_changes_the_files_that_were_read(under_attack: str, image: Path) -> None:
    with InPlace([Disk(image)]) as run_:
        fill(run_.overlays[0], NEW, 3 * MIB, MIB)
        run_.commit()
    assert changed(image)
    assert under_attack != "base" or holds(image, 0x33, 5 * MIB, MIB)


@pytest.mark.slow
def test_qemu_copies_the_files_that_were_read(under_attack: str, image: Path) -> None:
    output = image.with_name("output.qcow2")
    with ToOutput([Disk(image)], [output]) as run_:
        fill(run_.overlays[0], NEW, 3 * MIB, MIB)
        run_.commit()
    assert changed(output)
    assert is_old(image)
    assert under_attack != "base" or holds(output, 0x33, 5 * MIB, MIB)


@pytest.mark.parametrize(("what", "link"), [("image", True), ("overlay", False), ("folder", True)])
def test_the_direct_engine_opens_the_files_that_were_read(
    image: Path, decoys: Path, what: str, *, link: bool
) -> None:
    before = digests(decoys.iterdir())
    path = {"image": image, "overlay": overlay_path(image), "folder": image.parent}[what]
    with InPlace([Disk(image)]) as run_:
        (overlay,) = run_.overlays
        drive = Drive(overlay, "qcow2", run_.images[0], run_.opened(overlay), locked=True)
        with exchanged(path, decoys if what == "folder" else decoys / path.name, link=link):
            disks = Disks([drive], scratch=False)
            disk = disks.devices()[0].disk
            assert disk.read(MIB, MIB) == bytes([OLD]) * MIB
            disk.write(3 * MIB, bytes([NEW]) * MIB)
            disks.end()
        run_.commit()
    assert changed(image)
    assert digests(decoys.iterdir()) == before


@pytest.mark.slow
def test_the_recovery_writes_to_the_files_that_were_read(
    image: Path, decoys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt([image], committed=True)
    before = digests(decoys.iterdir())
    commit = qemu_img.commit

    def attacked(*arguments: object, **settings: object) -> None:
        with exchanged(image.parent, decoys, link=True):
            commit(*arguments, **settings)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(qemu_img, "commit", attacked)
    assert recover(image).action is Action.FINISHED
    assert changed(image)
    assert digests(decoys.iterdir()) == before


@pytest.mark.parametrize("which", ["image", "base"])
def test_what_was_read_was_another_file_than_the_locked_one(
    image: Path, decoys: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """The exchange ends before anything looks at the path again."""
    base = make(image.with_name("base.qcow2"))
    image.unlink()
    overlay_on(image, base.name)
    shutil.copy2(image, decoys / image.name)
    shutil.copy2(base, decoys / base.name)
    attacked = {"image": image, "base": base}[which]
    reads = []
    read = chain.read_chain

    def exchange(*arguments: object, **settings: object) -> Image:
        reads.append(arguments)
        if len(reads) < 2:
            return read(*arguments, **settings)  # type: ignore[arg-type]  # as they came
        with exchanged(attacked, decoys / attacked.name, link=False):
            return read(*arguments, **settings)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(f"{transaction.__name__}.read_chain", exchange)
    with pytest.raises(InUseError, match="changed while it was being opened"):
        run(image, change)
    assert len(reads) == 2
