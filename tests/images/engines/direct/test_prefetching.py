"""What is read ahead is what a request for it would give, and no change is hidden by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.direct import make_ext, mounted_direct, require_sound
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[DirectVolumes]:
    """An ext4 with the folders /a, with a file and a link, and /b, with two files."""
    image = make_ext(tmp_path / "image", "ext4")
    mounted = mounted_direct(image)
    for folder in ("/a", "/b"):
        mounted.make_directory(folder, mode=0o755, uid=0, gid=0)
    for path, content in {"/a/f": b"one", "/b/g": b"two", "/b/h": b""}.items():
        mounted.create(path, content, mode=0o644, uid=0, gid=0)
    mounted.make_symlink("/a/l", "old")
    yield mounted
    require_sound(mounted, image)


def test_it_is_what_is_there(volumes: DirectVolumes) -> None:
    files, absent = ["/a/f", "/b/g", "/b/h"], ["/none", "/a/none"]
    volumes.prefetch(["/a", "/b", "/a/f", *absent], [*files, "/a", "/a/l", *absent])
    assert volumes.scan("/a") == {"f": Kind.FILE, "l": Kind.SYMLINK}
    assert volumes.scan("/b") == {"g": Kind.FILE, "h": Kind.FILE}
    assert [volumes.read(path, 2) for path in files] == [b"on", b"tw", b""]
    for path in absent:
        with pytest.raises(FileNotFoundError):
            volumes.scan(path)
        with pytest.raises(FileNotFoundError):
            volumes.read(path, 10)
    with pytest.raises(IsADirectoryError):
        volumes.read("/a", 10)
    with pytest.raises(NotADirectoryError):
        volumes.scan("/a/f")


def test_a_change_counts_more(volumes: DirectVolumes) -> None:
    volumes.prefetch(["/a", "/b"], ["/a/f", "/b/g"])
    assert volumes.readlink("/a/l") == "old"
    volumes.write("/a/f", b"new")
    volumes.remove("/b/g")
    volumes.remove("/a/l")
    volumes.make_symlink("/a/l", "new")
    volumes.make_symlink("/a/m", "other")
    assert volumes.read("/a/f", 10) == b"new"
    assert set(volumes.scan("/b")) == {"h"}
    assert set(volumes.scan("/a")) == {"f", "l", "m"}
    assert [volumes.readlink(path) for path in ("/a/l", "/a/m")] == ["new", "other"]
    with pytest.raises(FileNotFoundError):
        volumes.read("/b/g", 10)
    with pytest.raises(FileNotFoundError):
        volumes.readlink("/a/none")


def test_a_large_file_is_left_for_a_request_of_its_own(volumes: DirectVolumes) -> None:
    content = bytes(range(256)) * 1024
    volumes.create("/large", content, mode=0o644, uid=0, gid=0)
    volumes.prefetch([], ["/large", "/a/f"])
    assert volumes.read("/large", len(content) + 1) == content
    assert volumes.read("/a/f", 10) == b"one"


def test_links_of_a_large_folder(volumes: DirectVolumes) -> None:
    names = [f"{number:0100}" for number in range(120)]
    for name in names:
        volumes.make_symlink(f"/b/{name}", name)
    volumes.prefetch(["/b", "/a"], [])
    assert set(volumes.scan("/b")) == {"g", "h", *names}
    assert [volumes.readlink(f"/b/{name}") for name in names] == names
