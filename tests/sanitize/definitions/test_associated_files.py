"""Files that appear with a definition: complete or not at all, and never over another's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.sanitize.definitions.associated_files import LIMIT, CopiedFile, appearing, require_free

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    path.chmod(0o640)
    return path


def test_a_file_appears_complete_and_as_readable_as_another(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with appearing(target, like=source, overwrite=False) as file:
        file.write(b"half")
        assert not target.exists()
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob(".target*")} == {0o600}
        file.write(b" and half")
    assert target.read_bytes() == b"half and half"
    assert target.stat().st_mode & 0o777 == 0o640
    assert target.stat().st_nlink == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_nothing_is_left_of_a_failure(
    source: Path, tmp_path: Path, error: type[BaseException]
) -> None:
    def fail() -> None:
        with appearing(tmp_path / "target", like=source, overwrite=False) as file:
            file.write(b"half")
            raise error

    with pytest.raises((error, UncloneError)):
        fail()
    assert list(tmp_path.iterdir()) == [source]


def test_who_comes_second_does_not_replace(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"

    def write() -> None:
        with appearing(target, like=source, overwrite=False) as file:
            file.write(b"mine")
            target.write_bytes(b"theirs")

    with pytest.raises(UsageError, match="another process"):
        write()
    assert target.read_bytes() == b"theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_two_at_once_do_not_mix(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with (
        appearing(target, like=source, overwrite=True) as one,
        appearing(target, like=source, overwrite=True) as other,
    ):
        one.write(b"one")
        other.write(b"other")
    assert target.read_bytes() == b"one"  # whoever ends last


def test_a_copy_is_taken_back(source: Path, tmp_path: Path) -> None:
    copy = CopiedFile(source, tmp_path / "copy")
    copy.check(overwrite=False)
    copy.apply(overwrite=False)
    assert (tmp_path / "copy").read_bytes() == b"content"
    with pytest.raises(UsageError, match="already exists"):
        copy.check(overwrite=False)
    copy.check(overwrite=True)
    copy.undo()
    assert list(tmp_path.iterdir()) == [source]


def test_what_cannot_be_copied(source: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="is not a file"):
        CopiedFile(tmp_path, tmp_path / "copy").check(overwrite=False)
    os.truncate(source, LIMIT + 1)
    with pytest.raises(RefusedError, match="too large"):
        CopiedFile(source, tmp_path / "copy").check(overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_targets_that_are_not_free(source: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "same").hardlink_to(source)
    for name in ("link", "same", "source", ".", "no/such"):
        with pytest.raises(UsageError):
            require_free(tmp_path / name, source, overwrite=overwrite)
