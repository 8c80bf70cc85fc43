"""Subvolumes of a real btrfs: which there are, which is the default, and what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount, OtherSystem
from unclone.images.subvolumes import delete, find_others

if TYPE_CHECKING:
    from tests.support.bench import Bench

pytestmark = pytest.mark.appliance

SCRIPT = r"""set -e
top=/run/subvolumes; mkdir -p $top; mount NODE $top; cd $top
for each in @ @/.snapshots @home timeshift-btrfs; do btrfs subvolume create $each >/dev/null; done
mkdir -p @/etc/ssh @/.snapshots/1 @home/etc timeshift-btrfs/snapshots/one
echo 0123456789abcdef0123456789abcdef >@/etc/machine-id
echo key >@/etc/ssh/ssh_host_ed25519_key
btrfs subvolume snapshot -r @ @/.snapshots/1/snapshot >/dev/null
btrfs subvolume snapshot @ timeshift-btrfs/snapshots/one/@ >/dev/null
btrfs subvolume snapshot @ "$(printf 'odd \nID 9 \\name\303\251')" >/dev/null
: >@home/etc/machine-id
btrfs subvolume set-default @
cd /; umount $top
"""

FILES = ("etc/machine-id", "etc/ssh/ssh_host_ed25519_key")
SNAPSHOTS = ["@/.snapshots/1/snapshot", "odd \nID 9 \\nameé", "timeshift-btrfs/snapshots/one/@"]


@pytest.mark.parametrize("subvolume", ["", "@", "/@"], ids=["default", "name", "path"])
def test_every_snapshot_but_the_mounted_system_is_found(bench: Bench, subvolume: str) -> None:
    device = bench.devices["btrfs"]
    bench.prepared("subvolumes", lambda: bench.shell(SCRIPT.replace("NODE", bench.node("btrfs"))))
    volumes = bench.volumes("btrfs")
    found = find_others(volumes, [Mount(device, "/", "btrfs", subvolume)])
    assert sorted(found.systems) == [OtherSystem(device, path, FILES) for path in SNAPSHOTS]
    assert sorted(each.subvolume for each in found.snapshots) == SNAPSHOTS
    assert not any(each.stays for each in found.snapshots)
    volumes.mount(device, "/", subvolume="/", read_only=True)  # nothing was left mounted
    listed, default = volumes.subvolumes("/")
    volumes.unmount_all()
    assert default == "@"
    assert {"@", "@home", "@/.snapshots", *SNAPSHOTS} <= {each.path for each in listed}


def test_snapshots_are_deleted_with_what_tools_keep_beside_them(bench: Bench) -> None:
    # Within the shared disk: the last test on it leaves the snapshots away.
    device = bench.devices["btrfs"]
    bench.prepared("subvolumes", lambda: bench.shell(SCRIPT.replace("NODE", bench.node("btrfs"))))
    volumes = bench.volumes("btrfs")
    guest = Guest(volumes, Layout((Mount(device, "/", "btrfs", "@"),)))
    delete(guest, device, SNAPSHOTS)
    guest.reopen()()
    left = [each.path for each in guest.subvolumes(device)]
    # What is inside of what is mounted is listed from there.
    assert sorted(left) == [".snapshots", "@", "@home", "timeshift-btrfs"]
    assert guest.list("/.snapshots") == []
    volumes.unmount_all()
