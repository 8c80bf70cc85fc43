"""What this process reads of a file system at rest is what the kernel of the machine shows."""

from __future__ import annotations

import os
import shutil
import stat
import struct
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.appliance import make_volume, mounted_appliance, open_appliance, require_clean
from unclone.images.engines.appliance.at_rest import OnDemand
from unclone.images.errors import EngineError
from unclone.images.file_systems import xfs_uuid
from unclone.images.file_systems.btrfs_uuid import sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from unclone.images.blocks import Blocks
    from unclone.images.engines.appliance.volumes import ApplianceVolumes
    from unclone.images.engines.direct.driver import Driver

pytestmark = pytest.mark.slow

#: As the kernel takes it: owner, a user, group, mask and others.
ACL = b"".join(
    struct.pack("<HHI", tag, 6, who)
    for tag, who in ((1, 2**32 - 1), (2, 1000), (4, 2**32 - 1), (16, 2**32 - 1), (32, 2**32 - 1))
)


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def made(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A file system with one of everything."""
    image = make_volume(tmp_path_factory.mktemp("made") / request.param, request.param)
    volumes = mounted_appliance(image)
    volumes.make_directory("/many", mode=0o1777, uid=3, gid=4)
    for number in range(300):
        name = f"/many/{number}-" + "n" * (number % 200)
        volumes.create(name, b"%d" % number * number, mode=0o640, uid=number, gid=0)
    for number in range(250):  # holes
        volumes.remove(f"/many/{number}-" + "n" * (number % 200))
    volumes.create("/large", bytes(range(256)) * 12_000, mode=0o4755, uid=0, gid=0)
    volumes.create("/empty", b"", mode=0, uid=0, gid=0)
    volumes.make_symlink("/short", "target")
    volumes.make_symlink("/long", "t/" * 450)
    volumes.create(b"/\xff\xfe".decode("utf-8", "surrogateescape"), b"x", mode=0o600, uid=1, gid=1)
    for count, name in enumerate(("/large", "/many", "/empty")):
        volumes.set_xattr(name, "security.selinux", b"system_u:object_r:etc_t:s0\0")
        for number in range(40 * count):
            volumes.set_xattr(name, f"user.{number}", b"v" * number)
    volumes.set_xattr("/large", "system.posix_acl_access", struct.pack("<I", 2) + ACL)
    volumes.close()
    require_clean(image, request.param)
    return image


@pytest.fixture
def opened(made: Path) -> Iterator[ApplianceVolumes]:
    volumes = open_appliance(made, read_only=True)
    volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    yield volumes
    volumes.drop()


def on_demand(volumes: ApplianceVolumes) -> OnDemand:
    driver, _ = volumes._at("/")
    assert isinstance(driver, OnDemand)
    return driver


def test_both_read_the_same(opened: ApplianceVolumes) -> None:
    driver = on_demand(opened)
    here = seen_by(driver)
    assert here == seen_by(driver.mounted())
    assert len(here) > 60


def seen_by(driver: Driver) -> dict[bytes, object]:
    found: dict[bytes, object] = {b"/": (driver.lstat(b"/"), sorted(driver.scan(b"/")))}
    for path, attributes, content, target in list(driver.walk(b"/", (), 1 << 20)):
        names = sorted(driver.scan(path)) if stat.S_ISDIR(attributes[0]) else ()
        whole = driver.read(path, 1 << 24) if stat.S_ISREG(attributes[0]) else b""
        link = driver.readlink(path) if stat.S_ISLNK(attributes[0]) else b""
        alike = driver.lstat(path) == attributes and link == target
        found[path] = attributes, content, target, names, whole, alike
    found |= {path + b"\0": driver.get_xattrs(path) for path in list(found)}
    found[b"hits"] = sorted(
        driver.search(b"/", [b"299", b"arge", b"target"], (b"/empty",), 1 << 16)
    )
    return found


@pytest.mark.parametrize(
    "ask",
    [
        lambda driver: driver.lstat(b"/missing"),
        lambda driver: driver.lstat(b"/" + b"n" * 256),
        lambda driver: driver.lstat(b"/large/below"),
        lambda driver: driver.lstat(b"/short/below"),
        lambda driver: driver.lstat(b"/many/../large"),
        lambda driver: driver.scan(b"/large"),
        lambda driver: driver.readlink(b"/large"),
        lambda driver: driver.read(b"/many", 10),
        lambda driver: driver.read(b"/short", 10),
        lambda driver: list(driver.walk(b"/large", (), 10)),
    ],
    ids=lambda _: "",
)
def test_both_give_the_same_error(
    opened: ApplianceVolumes, ask: Callable[[Driver], object]
) -> None:
    driver = on_demand(opened)
    errors = []
    for each in (driver, driver.mounted()):
        with pytest.raises(OSError, match=r".") as raised:
            ask(each)
        errors.append(raised.value.errno)
    assert errors[0] == errors[1]


def test_no_machine_is_started_to_read(opened: ApplianceVolumes) -> None:
    assert not opened.needs_machine()
    assert opened.read("/large", 3) == b"\0\1\2"
    assert opened.search(["/many"], [b"n" * 60], exclude=(), limit=10)
    assert opened._machine is None


def test_after_a_change_the_machine_is_asked(made: Path, tmp_path: Path) -> None:
    image = tmp_path / made.name
    shutil.copyfile(made, image)
    volumes = open_appliance(image)
    volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    assert volumes.read("/large", 3) == b"\0\1\2"
    volumes.write("/large", b"new")
    volumes.remove("/many")
    assert volumes.read("/large", 10) == b"new"
    assert "many" not in volumes.scan("/")
    volumes.unmount_all()
    volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    assert volumes.read("/large", 10) == b"new"
    assert not on_demand(volumes)._shared.is_left
    volumes.close()
    require_clean(image, made.name)


def test_what_was_not_unmounted_is_left_to_the_kernel(made: Path, tmp_path: Path) -> None:
    """Its log is not what a kernel wrote, which only that can say."""
    image = tmp_path / made.name
    content = bytearray(made.read_bytes())
    if made.name == "xfs":
        with made.open("rb") as file:
            read = lambda at, count: os.pread(file.fileno(), count, at)  # noqa: E731
            blocks = cast("Blocks", SimpleNamespace(read=read))
            record = xfs_uuid._last_record(blocks, xfs_uuid.superblock(blocks))
        assert record is not None
        content[record.offset + 512 + 9] = 0  # the flag of the unmount record
    else:
        block = content[0x10000:0x11000]
        block[0x60] = 1  # the address of a log
        content[0x10000:0x11000] = sealed(block)
    image.write_bytes(content)
    volumes = open_appliance(image, read_only=True)
    assert volumes.needs_machine()
    with suppress(EngineError):  # what it makes of that is not the point
        volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    assert volumes._machine is not None
    volumes.drop()


def test_what_is_not_understood_here_is_read_by_the_machine(opened: ApplianceVolumes) -> None:
    """Here: what takes too long. A walk goes on where it was."""
    paths = {each.path for each in opened.walk("/", exclude=(), limit=0)}
    opened.unmount_all()  # what was read is not known any more
    opened.mount("/dev/sda", "/", subvolume="", read_only=True)
    walk = opened.walk("/", exclude=(), limit=0)
    met = [next(walk).path for _ in range(5)]
    on_demand(opened)._shared.meter._limit = -1.0
    met += [each.path for each in walk]
    assert opened._machine is not None
    assert sorted(met) == sorted(paths)


def test_a_damaged_inode_is_an_error(made: Path, tmp_path: Path) -> None:
    """The size of a file is changed; only the checksum says so."""
    image = tmp_path / made.name
    content = made.read_bytes()
    size = (256 * 12_000).to_bytes(8, "big" if made.name == "xfs" else "little")
    assert content.count(size)
    image.write_bytes(content.replace(size, size[::-1]))
    volumes = open_appliance(image, read_only=True)
    volumes.mount("/dev/sda", "/", subvolume="", read_only=True)
    with pytest.raises((OSError, EngineError), match=r"large|cannot be mounted"):
        volumes.read("/large", 100)
    volumes.drop()
