"""Looking through what was unpacked before: the same answers as unpacking it again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.initrds import COMPRESSORS, archive, compress, microcode
from unclone.sanitize.boot import archives
from unclone.sanitize.boot.archives import Recorder
from unclone.sanitize.boot.compression import Compression
from unclone.sanitize.boot.initrd import survey
from unclone.sanitize.boot.overriding import correct

if TYPE_CHECKING:
    from pathlib import Path

OLD = b"11111111-2222-3333-4444-555555555555"
NEW = b"99999999-2222-3333-4444-555555555555"
EVERY = pytest.mark.parametrize("compression", COMPRESSORS, ids=lambda c: c.name.lower())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "etc/fstab").write_bytes(b"UUID=" + OLD + b" / ext4\n")
    (root / "etc/disk").symlink_to(f"/dev/disk/by-uuid/{OLD.decode()}")
    (root / f"hook-{OLD.decode()}.sh").write_bytes(b"true\n")
    (root / "program").write_bytes(b"\x7fELF" + OLD)
    (root / "one").write_bytes(b"shared " + OLD)
    os.link(root / "one", root / "two")
    (root / "empty").touch()
    return root


def recording(data: bytes) -> Recorder:
    recorder = Recorder()
    survey(data, recorder=recorder)
    return recorder


@EVERY
def test_other_questions_and_appended_archives(
    tmp_path: Path, tree: Path, compression: Compression
) -> None:
    data = microcode(tmp_path / "early") + compress(compression, archive(tree))
    known = recording(data).archives
    for needles in ([], [OLD], [NEW, OLD]):
        assert survey(data, needles, known=known) == survey(data, needles)
    corrected = correct(data, survey(data, [OLD]), lambda text: text.replace(OLD, NEW))
    appended = corrected.applied(data)
    assert survey(appended, [OLD, NEW], known=known) == survey(appended, [OLD, NEW])
    assert len(survey(appended, [OLD], known=known).segments) == len(survey(data).segments) + 1


def test_archives_that_end_where_nothing_follows_are_read_again(tree: Path) -> None:
    plain = archive(tree)
    assert recording(plain).archives == ()
    legacy = compress(Compression.LZ4_LEGACY, plain)
    assert recording(legacy).archives == ()
    zstd = compress(Compression.ZSTD, plain)
    assert len(recording(zstd + plain).archives) == 1


def test_programs_are_not_kept_and_unpacked_again_when_they_are_wanted(tree: Path) -> None:
    (tree / f"program-{OLD.decode()}").write_bytes(b"\x7fELF" + OLD + b"x" * 5000)
    data = compress(Compression.ZSTD, archive(tree))
    recorder = recording(data)
    assert recorder.size < 1000
    asked = survey(data, [OLD], known=recorder.archives)
    assert asked == survey(data, [OLD])
    assert len(asked.contents[f"program-{OLD.decode()}"]) > 5000
    assert survey(data, read=["program"], known=recorder.archives).contents["program"]


def test_too_much_is_not_kept(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LIMIT", 100)
    recorder = recording(compress(Compression.GZIP, archive(tree)))
    assert (recorder.archives, recorder.size) == ((), 0)
