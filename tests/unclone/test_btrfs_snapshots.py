"""Guests on btrfs with snapshots, as openSUSE and Ubuntu have them: looked into, and deleted."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from unclone.images.engines.engine import Drive
from unclone.images.engines.guestfs.appliance import start
from unclone.images.engines.guestfs.devices import read_devices
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(900)]

MACHINE_ID = "0123456789abcdef0123456789abcdef"

#: What both begin with: ``system FOLDER OS`` makes a root there, with a fstab of what follows.
COMMON = f"""
set -e
mkfs.btrfs -q /dev/sdX
mkdir -p /run/making
mount /dev/sdX /run/making
cd /run/making
uuid=$(blkid -o value -s UUID /dev/sdX)
system() {{
    for each in etc/ssh usr/bin boot/grub home var .snapshots; do mkdir -p $1/$each; done
    echo "ID=$2" >$1/etc/os-release
    echo {MACHINE_ID} >$1/etc/machine-id
    echo "-----BEGIN OPENSSH PRIVATE KEY-----" >$1/etc/ssh/ssh_host_rsa_key
    echo "search --fs-uuid --set=root $uuid" >$1/boot/grub/grub.cfg
}}
make() {{ btrfs subvolume create "$@" >/dev/null; }}
"""
SUSE = """
make @; make @/.snapshots; make @/home; make @/var
mkdir @/.snapshots/1 @/.snapshots/2
make @/.snapshots/1/snapshot
cd @/.snapshots
system 1/snapshot opensuse-leap
echo "UUID=$uuid / btrfs defaults 0 0
UUID=$uuid /.snapshots btrfs subvol=/@/.snapshots 0 0
UUID=$uuid /home btrfs subvol=/@/home 0 0
UUID=$uuid /var btrfs subvol=/@/var 0 0" >1/snapshot/etc/fstab
btrfs subvolume snapshot -r 1/snapshot 2/snapshot >/dev/null
echo "<snapshot/>" >2/info.xml
btrfs subvolume set-default 1/snapshot
"""
UBUNTU = """
make @; make @home; make timeshift-btrfs
system @ ubuntu
echo "UUID=$uuid / btrfs defaults,subvol=@ 0 0
UUID=$uuid /home btrfs defaults,subvol=@home 0 0" >@/etc/fstab
mkdir -p timeshift-btrfs/snapshots/now
btrfs subvolume snapshot @ timeshift-btrfs/snapshots/now/@ >/dev/null
btrfs subvolume snapshot @home timeshift-btrfs/snapshots/now/@home >/dev/null
echo "{}" >timeshift-btrfs/snapshots/now/info.json
"""
#: The snapshots, and the names of the subvolumes that stay.
LAYOUTS = {
    "opensuse": (SUSE, ["@/.snapshots/2/snapshot"], [".snapshots", "@", "home", "snapshot", "var"]),
    "ubuntu": (
        UBUNTU,
        ["timeshift-btrfs/snapshots/now/@", "timeshift-btrfs/snapshots/now/@home"],
        ["@", "@home", "timeshift-btrfs"],
    ),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A raw image for each layout, made in one appliance."""
    folder = tmp_path_factory.mktemp("btrfs")
    found = {name: folder / f"{name}.raw" for name in LAYOUTS}
    for path in found.values():
        with path.open("wb") as file:
            file.truncate(128 * 1024 * 1024)
    drives = [Drive(path, "raw") for path in found.values()]
    appliance = start(drives, read_only=False, say=lambda _: None)
    try:
        devices = read_devices(appliance, ["/dev/sda", "/dev/sdb"])
        for device, (script, *_) in zip(devices, LAYOUTS.values(), strict=True):
            text = COMMON + script + "cd /; umount /run/making"
            appliance.shell(text.replace("/dev/sdX", device.node))
    finally:
        appliance.close()
    return found


def subvolumes(image: Path) -> list[str]:
    """The name of each subvolume, as btrfs-progs reads them in the unmounted image."""
    tree = run(["btrfs", "inspect-internal", "dump-tree", "-t", "1", image]).stdout
    return sorted(name.decode() for name in re.findall(rb"root ref key .*? name (\S+)", tree))


def superblock(image: Path) -> dict[str, str]:
    text = run(["btrfs", "inspect-internal", "dump-super", image]).stdout.decode()
    return dict(re.findall(r"(?m)^(\S+)\s+(\S+)", text))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_snapshots_are_deleted_and_nothing_else(images: dict[str, Path], layout: str) -> None:
    image, (_, snapshots, others) = images[layout], LAYOUTS[layout]
    before = superblock(image)
    assert len(subvolumes(image)) == len(snapshots) + len(others)
    done = unclone("sanitize", "--json", "--delete-snapshots", image)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["results"]
    deleted = [c["target"] for c in report["changes"] if c["action"] == "delete-subvolume"]
    assert sorted(deleted) == [f"/dev/sda:{path}" for path in snapshots]
    assert not [note for note in report["notes"] if note["level"] == "kept"]
    assert subvolumes(image) == others
    after = superblock(image)
    assert [each for each in ("fsid", "dev_item.uuid") if after[each] == before[each]] == []
    run(["btrfs", "check", "--readonly", image])
