"""Files, symlinks and directories that are inside their inodes (feature ``inline_data``).

``debugfs cat`` and libext2fs give at least 60 bytes of such a file, whatever its size is.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import mounted_direct, require_sound
from tests.support.templates import copy_sparse
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes: in the inode's block area (60), with the rest in ``system.data``, and beyond the inode.
SIZES = (0, 33, 60, 61, 100, 156, 157, 5000)
WRITTEN = (0, 54, 130, 300, 9000)


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(size * 100 + seed).randbytes(size)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inline")
    tree = folder / "tree"
    (tree / "few").mkdir(parents=True)
    (tree / "few" / "one").write_bytes(b"1")
    for size in SIZES:
        (tree / f"f{size}").write_bytes(content(size))
        for written in WRITTEN:
            (tree / f"f{size}-{written}").write_bytes(content(size))
    for length in (1, 59, 60, 61, 120, 400):
        (tree / f"l{length}").symlink_to("x" * length)
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "inline_data", "-d", tree, image])
    return image


@pytest.fixture
def image(made: Path, tmp_path: Path) -> Path:
    path = tmp_path / "image"
    copy_sparse(made, path)
    return path


def debugfs(image: Path, command: str) -> bytes:
    return run(["debugfs", "-R", command, image]).stdout


def on_disk(image: Path, name: str) -> bytes:
    """What the kernel would read: the content, up to the size that the inode says."""
    said = re.search(rb"Size: (\d+)", debugfs(image, f"stat {name}"))
    assert said is not None
    found = debugfs(image, f"cat {name}")
    assert len(found) >= int(said[1])
    return found[: int(said[1])]


def is_inline(image: Path, name: str) -> bool:
    return b"Flags: 0x1000" in debugfs(image, f"stat {name}")


def test_a_file_ends_where_its_inode_says(image: Path) -> None:
    assert is_inline(image, "f33")
    assert is_inline(image, "f100")
    volumes = mounted_direct(image)
    for size in SIZES:
        assert volumes.read(f"/f{size}", 1 << 20) == content(size)
        assert volumes.read(f"/f{size}", 20) == content(size)[:20]
    walked = {member.path: member.content for member in volumes.walk("/", exclude=(), limit=9999)}
    assert {walked[f"/f{size}"] for size in SIZES} == {content(size) for size in SIZES}
    assert volumes.search(["/"], [content(100)[70:]], exclude=(), limit=1 << 20)[0] == "/f100"
    for length in (1, 59, 60, 61, 120, 400):
        assert volumes.readlink(f"/l{length}") == "x" * length
    require_sound(volumes, image)


@pytest.mark.slow
def test_what_is_written_is_there_and_nothing_else(image: Path) -> None:
    volumes = mounted_direct(image)
    wanted = {f"f{size}-{new}": content(new, 1) for size in SIZES for new in WRITTEN}
    for name, new in wanted.items():
        volumes.write(f"/{name}", new)
        assert volumes.read(f"/{name}", 1 << 20) == new
    require_sound(volumes, image)
    assert {name: on_disk(image, name) for name in wanted} == wanted


@pytest.mark.slow
def test_the_beginning_can_be_kept(image: Path) -> None:
    volumes = mounted_direct(image)
    wanted = {
        f"f{size}-{new}": content(size)[: size // 2] + content(new, 1)
        for size in SIZES
        for new in WRITTEN
    }
    for name, new in wanted.items():
        size = int(name[1:].partition("-")[0])
        volumes.write(f"/{name}", new[size // 2 :], keep=size // 2)
    require_sound(volumes, image)
    assert {name: on_disk(image, name) for name in wanted} == wanted


@pytest.mark.slow
def test_attributes_beside_the_content_do_not_touch_it(image: Path) -> None:
    volumes = mounted_direct(image)
    for size in SIZES:
        assert "system.data" not in volumes.get_xattrs(f"/f{size}")
        volumes.set_xattr(f"/f{size}", "user.note", b"n" * 40)
        volumes.set_mode(f"/f{size}", 0o640)
        volumes.set_owner(f"/f{size}", uid=7, gid=8)
        assert volumes.read(f"/f{size}", 1 << 20) == content(size)
        assert dict(volumes.get_xattrs(f"/f{size}")) == {"user.note": b"n" * 40}
    require_sound(volumes, image)
    assert {on_disk(image, f"f{size}") for size in SIZES} == {content(size) for size in SIZES}


@pytest.mark.slow
def test_a_directory_inside_its_inode_grows_and_shrinks(image: Path) -> None:
    assert is_inline(image, "few")
    volumes = mounted_direct(image)
    for number in range(40):
        volumes.create(f"/few/{number:020}", b"new", mode=0o644, uid=0, gid=0)
    assert len(volumes.scan("/few")) == 41
    volumes.rename("/few/one", "/one")
    for number in range(40):
        volumes.remove(f"/few/{number:020}")
    assert not volumes.scan("/few")
    volumes.make_directory("/few/below", mode=0o755, uid=0, gid=0)
    volumes.make_symlink("/few/link", "y" * 100)
    volumes.rename("/few/below", "/below")
    assert volumes.readlink("/few/link") == "y" * 100
    assert volumes.read("/one", 10) == b"1"
    for name in ("f33", "f100", "f5000", "l400", "few"):
        volumes.remove(f"/{name}")
    require_sound(volumes, image)
