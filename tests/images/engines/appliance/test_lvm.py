"""Guests on LVM that the host composes: two physical volumes, sanitised and judged by the tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import open_appliance, require_clean
from tests.support.disks import MIB, Part, make_file_system
from tests.support.families import DEBIAN_12
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow

FSTAB = (
    "/dev/mapper/my--vg-root / {} defaults 0 1\n"
    "/dev/mapper/my--vg-striped /srv btrfs defaults 0 0\n"
    "/dev/my-vg/swap none swap sw 0 0\n"
)


def lvm_on(images: Sequence[Path], *commands: tuple[str, ...]) -> list[str]:
    """What lvm says to each of *commands*, in which PVS are the physical volumes."""
    nodes: list[str] = []
    try:
        for image in images:
            node = run(["losetup", "-f", "--show", image]).stdout.decode().strip()
            nodes += [node]
        only = ("--devices", ",".join(nodes), "--driverloaded", "n")
        filled = [[n for w in c for n in (nodes if w == "PVS" else [w])] for c in commands]
        return [run(["lvm", *command, *only]).stdout.decode() for command in filled]
    finally:
        for node in nodes:
            run(["losetup", "-d", node])


def make_guest(folder: Path, root: str) -> list[Path]:
    """Two disks that are physical volumes: a root that is on both, a striped volume, and swap."""
    images = [folder / "sda", folder / "sdb"]
    for image in images:
        with image.open("wb") as file:
            file.truncate(330 * MIB)
    create = ("lvcreate", "-y", "-an", "-Zn", "-Wn")
    lvm_on(
        images,
        ("pvcreate", "-y", "PVS"),
        ("vgcreate", "-y", "-s", "1M", "my-vg", "PVS"),
        (*create, "-i", "2", "-I", "64k", "-l", "128", "-n", "striped", "my-vg"),
        (*create, "-l", "400", "-n", "root", "my-vg"),
        (*create, "-l", "8", "-n", "swap", "my-vg"),
    )
    tree = {**DEBIAN_12, "/etc/fstab": FSTAB.format(root), "/srv": None}
    contents = {
        "root": Part(root, tree, size=400),
        "striped": Part("btrfs", {"/kept": "content"}, size=128),
        "swap": Part("swap", size=8),
    }
    volumes = open_appliance(*images)
    members = {device.name.rpartition("/")[2]: device for device in volumes._read()}
    for name, part in contents.items():
        content = make_file_system(folder / name, part).read_bytes()
        with closing(members[name].open()) as blocks:
            for at in range(0, len(content), MIB):
                if any(content[at : at + MIB]):
                    blocks.write(at, content[at : at + MIB])
        (folder / name).unlink()
    volumes.close()
    return images


@pytest.fixture(scope="module", params=["xfs", "ext4"])
def guest(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Path]:
    return make_guest(tmp_path_factory.mktemp("lvm"), request.param)


def unclone(*arguments: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "unclone", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def copied(images: Sequence[Path], folder: Path) -> list[Path]:
    return [Path(shutil.copy(image, folder / image.name)) for image in images]


def extracted(images: Sequence[Path], folder: Path, name: str) -> Path:
    """The content of a logical volume as a file, for the tools."""
    volumes = open_appliance(*images, read_only=True)
    (device,) = [each for each in volumes._read() if each.name == f"/dev/my-vg/{name}"]
    with closing(device.open()) as blocks, (folder / name).open("wb") as file:
        for at in range(0, device.size, MIB):
            file.write(blocks.read(at, MIB))
    volumes.drop()
    return folder / name


def test_a_guest_on_lvm_gets_new_identifiers(guest: list[Path], tmp_path: Path) -> None:
    images = copied(guest, tmp_path)
    fields = ("-o", "pv_uuid,vg_uuid,lv_uuid,lv_name", "--reportformat", "json")
    (before,) = lvm_on(images, ("pvs", "--segments", *fields))
    options = ("--uuids", "renew", "--engine", "appliance", "--json")
    done = unclone("sanitize", images[0], "--add-disk", images[1], *options)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "appliance" in done.stdout
    assert report
    checked, after = lvm_on(images, ("vgck", "my-vg"), ("pvs", "--segments", *fields))
    assert not checked.strip()
    rows = [json.loads(said)["report"][0] for said in (before, after)]
    (segments,) = {len(next(iter(each.values()))) for each in rows}
    assert segments >= 4
    for name in ("pv_uuid", "vg_uuid"):
        old, new = ({row[name] for row in next(iter(each.values()))} for each in rows)
        assert old.isdisjoint(new)
    root = extracted(images, tmp_path, "root")
    kind = run(["blkid", "-p", "-o", "value", "-s", "TYPE", root]).stdout.decode().strip()
    require_clean(root, kind)
    require_clean(extracted(images, tmp_path, "striped"), "btrfs")
    old_uuids = [_uuid(extracted(guest, tmp_path, name)) for name in ("root", "striped", "swap")]
    new_uuids = [_uuid(extracted(images, tmp_path, name)) for name in ("root", "striped", "swap")]
    assert all(new_uuids)
    assert set(old_uuids).isdisjoint(new_uuids)
    volumes = open_appliance(*images, read_only=True)
    volumes.mount("/dev/my-vg/root", "/", subvolume="", read_only=True)
    assert volumes.read("/etc/machine-id", 100) in {b"", b"uninitialized\n"}
    assert volumes.read("/etc/fstab", 1000).decode() == FSTAB.format(kind)
    volumes.mount("/dev/my-vg/striped", "/srv", subvolume="", read_only=True)
    assert volumes.read("/srv/kept", 100) == b"content"
    volumes.drop()


def _uuid(image: Path) -> str:
    said = run(["blkid", "-p", "-o", "value", "-s", "UUID", image]).stdout.decode().strip()
    image.unlink()
    return said


def test_what_is_beyond_it_is_named_with_the_engine_for_it(
    guest: list[Path], tmp_path: Path
) -> None:
    """A group with a missing device; the same run with `auto` is not tried here."""
    (image,) = copied(guest[:1], tmp_path)
    before = image.read_bytes()
    done = unclone("sanitize", image, "--engine", "appliance")
    assert done.returncode != 0
    said = re.sub(r"\s+", " ", done.stderr)
    assert "the appliance engine cannot open this guest: /dev/sda" in said
    assert "only 1 of 2 devices are there" in said
    assert "--engine guestfs" in said
    assert image.read_bytes() == before
