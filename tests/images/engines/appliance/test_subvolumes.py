"""Subvolumes and snapshots of a real btrfs, made by the kernel of the virtual machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import make_volume, mounted_appliance, open_appliance, require_clean
from unclone.images.engines.appliance.at_rest import OnDemand
from unclone.images.errors import EngineError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount, OtherSystem
from unclone.images.subvolumes import delete, find_others, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.engines.appliance.volumes import ApplianceVolumes

pytestmark = pytest.mark.slow

#: As in linux/btrfs.h: BTRFS_IOC_SUBVOL_CREATE, _SNAP_CREATE and _DEFAULT_SUBVOL.
CREATE, SNAPSHOT, SET_DEFAULT = 0x5000940E, 0x50009401, 0x40089413
DEVICE = "/dev/sda"
SUBVOLUMES = ["@", "@/.snapshots", "@home", "timeshift-btrfs"]
#: Each with its original.
SNAPSHOTS = {
    "@/.snapshots/1/snapshot": "@",
    "odd \nID 9 \\nameé": "@",
    "timeshift-btrfs/snapshots/one/@": "@",
}
FILES = {
    "etc/machine-id": b"0123456789abcdef0123456789abcdef\n",
    "etc/ssh/ssh_host_ed25519_key": b"key\n",
}


def folders(volumes: ApplianceVolumes, *paths: str) -> None:
    for path in paths:
        volumes.make_directory(f"/{path}", mode=0o755, uid=0, gid=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system in ``@``, which is the default, with snapshots."""
    image = make_volume(tmp_path_factory.mktemp("btrfs") / "image", "btrfs")
    volumes = mounted_appliance(image)
    on_demand = volumes._at("/")[0]
    assert isinstance(on_demand, OnDemand)
    driver = on_demand.mounted()
    for each in SUBVOLUMES:
        driver.call("subvolume_request", CREATE, os.fsencode(f"/{each}"))
    folders(volumes, "@/etc", "@/etc/ssh", "@/.snapshots/1")
    folders(volumes, "timeshift-btrfs/snapshots", "timeshift-btrfs/snapshots/one")
    for name, content in FILES.items():
        volumes.create(f"/@/{name}", content, mode=0o600, uid=0, gid=0)
    for path, original in SNAPSHOTS.items():
        driver.call("subvolume_request", SNAPSHOT, os.fsencode(f"/{path}"), original.encode())
    number = {each.path: each.number for each in volumes.subvolumes("/")[0]}["@"]
    driver.call("subvolume_request", SET_DEFAULT, b"/name", number)
    volumes.close()
    require_clean(image, "btrfs")
    return image


@pytest.fixture(scope="module")
def volumes(made: Path) -> Iterator[ApplianceVolumes]:
    """Opened once for all tests; the last one deletes the snapshots."""
    opened = open_appliance(made)
    yield opened
    opened.close()
    require_clean(made, "btrfs")


@pytest.mark.parametrize("subvolume", ["", "@", "/@"], ids=["default", "name", "path"])
def test_every_snapshot_but_the_mounted_system_is_found(
    volumes: ApplianceVolumes, subvolume: str
) -> None:
    found = find_others(volumes, [Mount(DEVICE, "/", "btrfs", subvolume)])
    files = tuple(FILES)
    assert sorted(found.systems) == [OtherSystem(DEVICE, path, files) for path in SNAPSHOTS]
    assert sorted(each.subvolume for each in found.snapshots) == sorted(SNAPSHOTS)
    assert not any(each.stays for each in found.snapshots)
    assert found.defaults == {DEVICE: "@"}


def test_each_subvolume_is_mounted_by_its_path(volumes: ApplianceVolumes) -> None:
    volumes.mount(DEVICE, "/", subvolume="/", read_only=True)
    listed, default = volumes.subvolumes("/")
    assert default == "@"
    assert {each.path for each in listed} == {*SUBVOLUMES, *SNAPSHOTS}
    own = {each.path: each.uuid for each in listed}
    assert {each.path: each.parent for each in listed if each.parent} == {
        path: own[original] for path, original in SNAPSHOTS.items()
    }
    volumes.unmount_all()
    numbers = {each.path: each.number for each in listed}
    assert path_of(volumes, DEVICE, numbers["@home"]) == "@home"
    assert path_of(volumes, DEVICE, 99_999) is None
    for path in ("", "@", "/@", "timeshift-btrfs/snapshots/one/@"):
        volumes.mount(DEVICE, "/", subvolume=path, read_only=True)
        assert volumes.read("/etc/machine-id", 100) == FILES["etc/machine-id"]
        volumes.unmount_all()


def test_two_subvolumes_of_one_device_are_mounted_together(volumes: ApplianceVolumes) -> None:
    volumes.mount(DEVICE, "/", subvolume="@", read_only=False)
    folders(volumes, "home")
    volumes.mount(DEVICE, "/home", subvolume="@home", read_only=False)
    volumes.create("/home/file", b"content", mode=0o644, uid=1, gid=2)
    volumes.unmount_all()
    volumes.mount(DEVICE, "/", subvolume="@home", read_only=True)
    assert volumes.read("/file", 100) == b"content"
    volumes.unmount_all()


@pytest.mark.parametrize("subvolume", ["missing", "@,ro", "@home/missing"])
def test_what_cannot_be_mounted_is_an_error(volumes: ApplianceVolumes, subvolume: str) -> None:
    with pytest.raises(EngineError, match=r"cannot .*mount"):
        volumes.mount(DEVICE, "/", subvolume=subvolume, read_only=True)
    volumes.unmount_all()


def test_snapshots_are_deleted_with_what_tools_keep_beside_them(volumes: ApplianceVolumes) -> None:
    guest = Guest(volumes, Layout((Mount(DEVICE, "/", "btrfs", "@"),)))
    delete(guest, DEVICE, list(SNAPSHOTS))
    guest.reopen()()
    assert guest.list("/.snapshots") == []
    volumes.unmount_all()
    volumes.mount(DEVICE, "/", subvolume="/", read_only=True)
    left = sorted(each.path for each in volumes.subvolumes("/")[0])
    assert left == sorted(SUBVOLUMES)
    volumes.unmount_all()
