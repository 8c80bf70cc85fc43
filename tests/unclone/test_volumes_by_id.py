"""Ubuntu Server's default: logical volumes that fstab names by what udev makes of their UUIDs."""

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

pytestmark = [pytest.mark.appliance, pytest.mark.timeout(2400)]

MAKE = r"""
set -e
# Others may still be looking at the disk, and LVM wants it for itself. On a loaded host that takes
# longer than the two minutes that are usual.
settle() { udevadm settle --timeout=900; }
tries=1
until settle && lvm pvcreate -q -q NODE; do
  sleep 2; tries=$((tries+1)); [ $tries -le 60 ]
done
lvm vgcreate -q -q ubuntu-vg NODE
lvm lvcreate -q -q -W n -L 28M -n root-lv ubuntu-vg
lvm lvcreate -q -q -W n -L 16M -n var-lv ubuntu-vg
settle
mke2fs -q -t ext4 /dev/ubuntu-vg/root-lv
mke2fs -q -t ext4 /dev/ubuntu-vg/var-lv
mkdir -p /run/making
mount /dev/ubuntu-vg/root-lv /run/making
cd /run/making
mkdir -p etc usr var boot/grub
echo ID=ubuntu >etc/os-release
root=$(dmsetup info -c --noheadings -o uuid ubuntu--vg-root--lv)
var=$(dmsetup info -c --noheadings -o uuid ubuntu--vg-var--lv)
echo "/dev/disk/by-id/dm-uuid-$root / ext4 defaults 0 1
/dev/disk/by-id/dm-uuid-$var /var ext4 defaults 0 1" >etc/fstab
echo "linux /vmlinuz root=/dev/mapper/ubuntu--vg-root--lv ro" >boot/grub/grub.cfg
cd /
umount /run/making
lvm lvcreate -q -q -s -L 8M -n before ubuntu-vg/root-lv
settle
lvm vgchange -q -q -an ubuntu-vg
"""

#: The group's UUID and the volume's, as one word.
NAME = re.compile(rb"dm-uuid-LVM-(\w{32})(\w{32})")


def names(image: Path) -> list[tuple[bytes, bytes]]:
    """What fstab has: the root is the first volume, and begins a MiB into the group."""
    read = ["debugfs", "-R", "cat /etc/fstab", f"{image}?offset={1024 * 1024}"]
    return NAME.findall(run(read).stdout)


def test_volumes_named_by_their_groups_uuid_follow(tmp_path: Path) -> None:
    image = tmp_path / "ubuntu.raw"
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    appliance = start([Drive(image, "raw")], read_only=False, say=lambda _: None)
    try:
        # The kernel may find the disk and the appliance's own in any order.
        (node,) = (each.node for each in read_devices(appliance, ["/dev/sda"]))
        appliance.shell(MAKE.replace("NODE", node), limit=1800)
    finally:
        appliance.close()
    before = names(image)
    assert len(before) == 2
    done = unclone("sanitize", "--json", image)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert [mount["mount_point"] for mount in result["guest"]["mounts"]] == ["/", "/var"]
    # The snapshot is as active as the volume, and is no second root.
    (kept,) = (note["text"] for note in result["notes"] if note["level"] == "kept")
    assert "/dev/ubuntu-vg/before (of /dev/ubuntu-vg/root-lv)" in kept
    assert [i["device"] for i in result["identifiers"] if "before" in i["device"]] == []
    (group,) = (i["value"] for i in result["identifiers"] if i["kind"] == "lvm-vg-uuid")
    after = names(image)
    assert [volume for _, volume in after] == [volume for _, volume in before]
    assert {name for name, _ in after} == {group.replace("-", "").encode()}
    assert {name for name, _ in before}.isdisjoint(name for name, _ in after)
