"""Seeds on disk: complete or not there, private, and never in place of something else."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from unclone.seeds import Format, RefusedSeedError, Seed, SeedError, Severity, output
from unclone.seeds.errors import FAILED, REFUSED, USAGE
from unclone.seeds.output import Batch, read_image

if TYPE_CHECKING:
    from pathlib import Path

SEED = Seed(b"#cloud-config\n{}\n", b'instance-id: "i-1"\n', b"version: 2\n")
OTHER = Seed(b"#cloud-config\n{}\n", b'instance-id: "i-2"\n')
IMAGES = [Format.ISO, Format.VFAT]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}


@pytest.mark.parametrize("kind", IMAGES)
def test_an_image_is_private_complete_and_alone(tmp_path: Path, kind: Format) -> None:
    path = tmp_path / "seed"
    written = SEED.write(path, kind)
    assert read_image(path.read_bytes()) == SEED.files
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (written.path, written.format, written.size) == (path, kind, path.stat().st_size)
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.read_bytes() == SEED.to_bytes(kind)
    assert [p.name for p in tmp_path.iterdir()] == ["seed"]


def test_a_folder_is_private_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    SEED.write(path, Format.FOLDER)
    assert tree(path) == SEED.files
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.iterdir()} == {0o600}


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("name", ["s" * 255, "ü" * 127])
def test_a_seed_may_have_the_longest_name(tmp_path: Path, kind: Format, name: str) -> None:
    SEED.write(tmp_path / name, kind)
    OTHER.write(tmp_path / name, kind, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind", list(Format))
def test_a_seed_replaces_a_seed_when_asked(tmp_path: Path, kind: Format) -> None:
    path = tmp_path / "seed"
    SEED.write(path, kind)
    OTHER.write(path, kind, overwrite=True)
    if kind is Format.FOLDER:
        assert tree(path) == OTHER.files
    else:
        assert read_image(path.read_bytes()) == OTHER.files
    assert [p.name for p in tmp_path.iterdir()] == ["seed"]


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("empty", [False, True])
def test_nothing_is_replaced_unasked(tmp_path: Path, kind: Format, empty: bool) -> None:
    path = tmp_path / "seed"
    if not empty:
        SEED.write(path, kind)
    elif kind is Format.FOLDER:
        path.mkdir()
    else:
        path.touch()
    before = tree(tmp_path)
    with pytest.raises(SeedError, match="seed already exists") as refused:
        OTHER.write(path, kind)
    assert refused.value.status == USAGE
    assert "--overwrite" in refused.value.hint
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", list(Format))
def test_what_another_run_wrote_meanwhile_stays(tmp_path: Path, kind: Format) -> None:
    def late() -> None:
        with Batch() as batch:
            batch.add(OTHER.files, tmp_path / "a", kind, 0)
            batch.add(OTHER.files, tmp_path / "seed", kind, 0)
            SEED.write(tmp_path / "seed", kind)

    with pytest.raises(SeedError, match="seed already exists"):
        late()
    assert [p.name for p in tmp_path.iterdir()] == ["seed"]
    if kind is Format.FOLDER:
        assert tree(tmp_path / "seed") == SEED.files
    else:
        assert read_image((tmp_path / "seed").read_bytes()) == SEED.files


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none here that can be mounted without root; the system call fails instead."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    SEED.write(tmp_path / "seed")
    assert read_image((tmp_path / "seed").read_bytes()) == SEED.files
    with pytest.raises(SeedError, match="already exists"):
        OTHER.write(tmp_path / "seed")
    assert [p.name for p in tmp_path.iterdir()] == ["seed"]


def test_one_kind_of_image_replaces_the_other_and_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.touch()
    for kind in (Format.VFAT, Format.ISO):
        SEED.write(path, kind, overwrite=True)
        assert path.read_bytes() == SEED.to_bytes(kind)


def test_who_has_the_old_seed_open_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    SEED.write(path)
    with path.open("rb") as running:
        OTHER.write(path, overwrite=True)
        assert read_image(running.read()) == SEED.files


@pytest.mark.parametrize("kind", list(Format))
@pytest.mark.parametrize("what", ["disk", "folder", "symlink", "dangling", "fifo", "iso"])
def test_nothing_else_is_ever_replaced(tmp_path: Path, kind: Format, what: str) -> None:
    path, precious = tmp_path / "seed", tmp_path / "precious"
    precious.write_bytes(SEED.to_bytes())
    if what == "disk":
        path.write_bytes(b"QFI\xfb" + bytes(100_000))
    elif what == "folder":
        path.mkdir()
        (path / "notes").write_text("mine")
    elif what == "symlink":
        path.symlink_to(precious)
    elif what == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif what == "iso":
        image = bytearray(SEED.to_bytes())
        image[16 * 2048 + 40 : 16 * 2048 + 46] = b"debian"
        path.write_bytes(image)
    else:
        os.mkfifo(path)
    before = path.lstat().st_ino
    with pytest.raises(SeedError, match="exists and is not a seed") as refused:
        SEED.write(path, kind, overwrite=True)
    assert (refused.value.status, path.lstat().st_ino) == (USAGE, before)
    assert {p.name for p in tmp_path.iterdir()} == {"seed", "precious"}


def test_a_seed_folder_is_not_replaced_by_an_image_nor_the_other_way_round(tmp_path: Path) -> None:
    SEED.write(tmp_path / "folder", Format.FOLDER)
    SEED.write(tmp_path / "image", Format.ISO)
    for name, kind in (("folder", Format.ISO), ("image", Format.FOLDER)):
        with pytest.raises(SeedError, match="exists and is not a seed"):
            SEED.write(tmp_path / name, kind, overwrite=True)


@pytest.mark.parametrize("kind", list(Format))
def test_a_folder_that_is_missing_is_named(tmp_path: Path, kind: Format) -> None:
    with pytest.raises(SeedError, match=r"cannot write .*No such file") as refused:
        SEED.write(tmp_path / "no" / "seed", kind)
    assert "does not exist" in refused.value.hint
    assert refused.value.status == FAILED


@pytest.mark.parametrize("kind", list(Format))
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file system of this host can be filled without root; the last step fails instead."""
    path = tmp_path / "seed"
    SEED.write(path, kind)
    before = tree(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output, "_write_private", full)
    with pytest.raises(SeedError, match="No space left") as refused:
        OTHER.write(path, kind, overwrite=True)
    assert "Make room" in refused.value.hint
    assert tree(tmp_path) == before


def test_what_comes_back_different_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "read_image", lambda _: {"user-data": b"something else"})
    with pytest.raises(SeedError, match="does not hold the files"):
        SEED.write(tmp_path / "seed")
    assert list(tmp_path.iterdir()) == []


# -- batches ---------------------------------------------------------------------------------


def test_a_batch_appears_as_a_whole(tmp_path: Path) -> None:
    with Batch() as batch:
        for name in ("a", "b"):
            batch.add(SEED.files, tmp_path / name, Format.ISO, 0)
        batch.add(SEED.files, tmp_path / "c", Format.FOLDER, 0)
        assert not {"a", "b", "c"} & {p.name for p in tmp_path.iterdir()}
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", "c"}


@pytest.mark.parametrize("how", [KeyboardInterrupt, SeedError, "discard"])
def test_a_batch_that_fails_leaves_nothing(tmp_path: Path, how: object) -> None:
    SEED.write(tmp_path / "b")
    before = tree(tmp_path)
    try:
        with Batch() as batch:
            for name in ("a", "b"):
                batch.add(OTHER.files, tmp_path / name, Format.ISO, 0)
            batch.add(OTHER.files, tmp_path / "c", Format.FOLDER, 0)
            if how == "discard":
                batch.discard()
            elif how is KeyboardInterrupt:
                raise KeyboardInterrupt
            else:
                raise SeedError("no")
    except (KeyboardInterrupt, SeedError):
        pass
    assert tree(tmp_path) == before


def test_two_seeds_cannot_have_one_name(tmp_path: Path) -> None:
    def twice() -> None:
        with Batch() as batch:
            for _ in range(2):
                batch.add(SEED.files, tmp_path / "a", Format.ISO, 0)

    with pytest.raises(SeedError, match="two seeds would be called"):
        twice()
    assert list(tmp_path.iterdir()) == []


# -- checked first ---------------------------------------------------------------------------

WARNED = Seed(b"#cloud-config\n{}\n", b"local-hostname: web-01\n")
WRONG = Seed(b"---\n#cloud-config\n", b"local-hostname: web_01\n")


def test_a_warning_stops_only_the_strict(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    assert [finding.severity for finding in WARNED.check()] == [Severity.WARNING]
    with pytest.raises(RefusedSeedError):
        WARNED.write(path, strict=True)
    assert WARNED.write(path).path == path


def test_every_finding_is_told(tmp_path: Path) -> None:
    with pytest.raises(RefusedSeedError, match=r"\(and 1 more\)") as refused:
        WRONG.write(tmp_path / "seed")
    codes = {finding.code for finding in refused.value.findings}
    assert codes == {"host-name", "no-instance-id", "dashes-before-header"}
    assert (refused.value.status, bool(refused.value.hint)) == (REFUSED, True)
    assert list(tmp_path.iterdir()) == []
