"""Hostile guests: damaged metadata, loops, and huge directories."""

from __future__ import annotations

import random
import signal
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.direct import (
    complaints,
    make_ext,
    make_huge_directory,
    mounted_direct,
    open_direct,
)
from tests.support.disks import poke
from tests.support.fuzz import Outcome, damaged, exercise
from tests.support.templates import data
from unclone.images.engines.direct import ext_client
from unclone.images.errors import EngineError
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes


#: ``benchmarks/fuzz_direct.py`` does thousands.
@pytest.mark.slow
@pytest.mark.parametrize("images", [8, 60])
def test_damaged_metadata_is_an_error_and_nothing_worse(tmp_path: Path, images: int) -> None:
    outcomes = []
    for seed in range(images):
        image = damaged(tmp_path / "image", seed)
        outcomes.append(exercise(image, random.Random(seed)))
    assert set(outcomes) <= set(Outcome)
    assert outcomes.count(Outcome.UNHARMED) > 0
    assert outcomes.count(Outcome.REFUSED) > 0


def debugfs(image: Path, *commands: str) -> None:
    run(["debugfs", "-w", "-f", "-", image], stdin="\n".join(commands).encode())


def test_a_directory_that_holds_itself_is_an_error(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    debugfs(image, "mkdir a", "mkdir a/b", "cd a/b", "link /a loop")
    volumes = mounted_direct(image)
    with pytest.raises(OSError, match="two places"):
        list(volumes.walk("/", exclude=(), limit=1))
    with pytest.raises(OSError, match="two places"):
        volumes.search(["/"], [b"x"], exclude=(), limit=1)
    with pytest.raises(OSError, match="two places"):
        volumes.remove("/a")
    assert "a" in volumes.scan("/")
    volumes.close()


@pytest.mark.parametrize("inode", [1, 5, 7, 8, 4_000_000_000])
def test_an_entry_for_an_inode_that_is_not_for_files_is_an_error(
    tmp_path: Path, inode: int
) -> None:
    image = make_ext(tmp_path / "image")
    debugfs(image, f"link <{inode}> name" if inode < 100 else "write /dev/null name")
    if inode >= 100:
        place = next(
            start + piece.index(b"name") for start, piece in data(image) if b"name" in piece
        )
        poke(image, place - 8, inode.to_bytes(4, "little"))
    volumes = mounted_direct(image)
    for operation in (volumes.lstat, volumes.remove):
        with pytest.raises(OSError):
            operation("/name")
    volumes.close()


def test_a_file_system_that_overwrites_itself_is_not_clean(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image", "ext4-small-blocks")
    # As when its bitmap calls the superblock's block free, and a new file gets it.
    poke(image, 1024, b"x" * 1024)
    volumes = open_direct(image)
    assert volumes.check("/dev/sda", repair=False).state == "damaged"
    volumes.close()


def test_immutable_files_stay(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    debugfs(image, "mkdir d", "write /dev/null d/file", "set_inode_field d/file flags 0x80010")
    volumes = mounted_direct(image)
    changes: list[Callable[[], None]] = [
        lambda: volumes.write("/d/file", b"x"),
        lambda: volumes.remove("/d/file"),
        lambda: volumes.remove("/d"),
        lambda: volumes.rename("/d/file", "/file"),
        lambda: volumes.set_mode("/d/file", 0o600),
    ]
    for change in changes:
        with pytest.raises(PermissionError):
            change()
    volumes.close()
    assert not complaints(image)


def test_shared_attribute_blocks_lose_a_reference_only(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image", "ext4-small-inodes")
    debugfs(image, "write /dev/null one", "write /dev/null two", "ea_set one user.x value")
    block = run(["debugfs", "-R", "stat one", image]).stdout.split(b"File ACL: ")[1].split()[0]
    debugfs(image, f"set_inode_field two file_acl {block.decode()}")
    subprocess.run(["e2fsck", "-fy", image], check=False, capture_output=True)
    volumes = mounted_direct(image)
    assert volumes.get_xattrs("/two") == {"user.x": b"value"}
    volumes.remove("/one")
    assert volumes.get_xattrs("/two") == {"user.x": b"value"}
    volumes.set_xattr("/two", "user.x", b"other")
    volumes.close()
    assert not complaints(image), complaints(image)


def fill_up(volumes: DirectVolumes) -> None:
    for number in range(100_000):
        volumes.make_symlink(f"/{number}", "x" * 100)


@pytest.mark.slow
def test_a_full_file_system_is_full_and_stays_sound(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image", mib=4)
    volumes = mounted_direct(image)
    volumes.create("/kept", b"kept", mode=0o644, uid=0, gid=0)
    with pytest.raises(OSError, match="No space left"):
        volumes.create("/large", b"x" * (8 << 20), mode=0o644, uid=0, gid=0)
    assert set(volumes.scan("/")) == {"kept", "lost+found"}
    with pytest.raises(OSError, match="No space left"):
        fill_up(volumes)
    assert len(volumes.scan("/")) > 100
    volumes.remove("/kept")
    volumes.close()
    assert not complaints(image), complaints(image)


@pytest.mark.slow
def test_a_directory_with_100_000_entries(tmp_path: Path) -> None:
    image = make_huge_directory(tmp_path / "image")
    volumes = mounted_direct(image)
    assert len(volumes.scan("/many")) == 100_000
    volumes.remove(f"/many/077777-{'x' * 20}")
    volumes.create("/many/new", b"x", mode=0o644, uid=0, gid=0)
    volumes.remove("/many")
    assert "many" not in volumes.scan("/")
    assert {volumes.lstat(f"/f{number}").links for number in range(10)} == {1}
    volumes.close()
    assert not complaints(image), complaints(image)


def test_a_worker_that_hangs_or_dies_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ext_client, "LIMIT", 0.0)
    with pytest.raises(EngineError, match="no answer within"):
        mounted_direct(make_ext(tmp_path / "image"))
    monkeypatch.undo()
    volumes = mounted_direct(tmp_path / "image")
    volumes._worker._process._process.send_signal(signal.SIGSEGV)  # SIGKILL: test_killed
    with pytest.raises(EngineError, match="ended by signal 11"):
        volumes.lstat("/")
    volumes.drop()


@pytest.mark.slow
@pytest.mark.timeout(60)  # without a limit it would not end
def test_extents_that_lead_to_themselves_come_to_an_end(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image")
    volumes = mounted_direct(image)
    volumes.create("/file", b"x" * 200_000, mode=0o644, uid=0, gid=0)
    volumes.close()
    said = run(["debugfs", "-R", "blocks /file", image]).stdout.split()
    block, size = int(said[0]), 4096
    # An index block whose 340 entries all name itself, and an inode that begins with it.
    entry = struct.pack("<IIHH", 0, block, 0, 0)
    with image.open("r+b") as file:
        file.seek(block * size)
        file.write(struct.pack("<HHHHI", 0xF30A, 340, 340, 4, 0) + entry * 340)
    area = struct.pack("<HHHHI", 0xF30A, 1, 4, 5, 0) + entry
    for at in range(0, len(area), 4):
        word = struct.unpack_from("<I", area, at)[0]
        run(["debugfs", "-w", "-R", f"sif /file block[{at // 4}] {word}", image])
    volumes = mounted_direct(image)
    with pytest.raises((OSError, EngineError)):
        volumes.read("/file", 200_000)
    volumes.unmount_all()
    assert volumes.begin_check("/dev/sda")().state == "damaged"
    volumes.drop()
