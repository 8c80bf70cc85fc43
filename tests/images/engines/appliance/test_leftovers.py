"""An encrypted guest whose crypttab is in its initrd alone, and a removed file of two names."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from tests.support.appliance import KEY, encrypt, open_appliance
from tests.support.command import unclone
from tests.support.disks import MIB, Part, make_disk, make_file_system
from tests.support.families import DEBIAN_12
from tests.support.initrds import archive
from tests.support.lvm import make_physical_volume
from tests.support.templates import copy_into
from tests.support.tree import plant
from unclone.images.process import run

pytestmark = pytest.mark.slow

LUKS = "11111111-2222-3333-4444-555555555553"
BOOT = "11111111-2222-3333-4444-555555555552"
SEED = "/var/lib/systemd/random-seed"
START = (1 + 24) * MIB
CRYPTTAB = "cryptroot/crypttab"


def make(folder: Path, fstab: str = "") -> tuple[Path, Path]:
    """The disk, and the file with the key."""
    tree = {
        **DEBIAN_12,
        "/etc/fstab": f"/dev/mapper/vg-root / ext4 defaults 0 0\nUUID={BOOT} /boot ext4\n{fstab}",
        SEED: "a seed of the original's",
        "/srv": None,
        "/home": None,
        "/boot": None,
    }
    root = make_file_system(folder / "root", Part("ext4", tree))
    script = f"ln {SEED} /srv/seed\nsif {SEED} links_count 2\n"
    run(["debugfs", "-w", "-f", "-", root], stdin=script.encode())
    run(["e2fsck", "-fn", root])
    container = make_physical_volume(folder / "container", "vg", {"root": root})
    encrypt(container, folder / "key", "--uuid", LUKS)
    plant(folder / "initrd", {f"/{CRYPTTAB}": f"vda2_crypt UUID={LUKS} none luks\n"})
    initrd = gzip.compress(archive(folder / "initrd"))
    parts = [
        Part("ext4", {"/initrd.img-6.1": initrd}, BOOT),
        Part("", size=container.stat().st_size // MIB),
    ]
    disk = make_disk(folder / "disk", parts)
    copy_into(container, disk, START)
    return disk, folder / "key"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("leftovers"))


def test_a_crypttab_in_the_initrd_alone_follows_and_a_second_name_is_told(
    guest: tuple[Path, Path], tmp_path: Path
) -> None:
    disk = Path(shutil.copy(guest[0], tmp_path / "disk"))
    options = ("--engine", "appliance", "--key-file", guest[1], "--json")
    done = unclone("sanitize", *options, disk)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["results"]
    new = {c["old"]: c["new"] for c in report["changes"] if c["action"] == "set-identifier"}
    assert new[LUKS] != LUKS
    left = [(each["value"], each["path"]) for each in report["residue"]]
    assert (SEED, "/srv/seed") in left
    volumes = open_appliance(disk, read_only=True, keys=lambda _: [KEY])
    volumes.mount("/dev/sda1", "/", subvolume="", read_only=True)
    initrd = volumes.read("/initrd.img-6.1", MIB)
    volumes.drop()
    assert f"vda2_crypt UUID={new[LUKS]} none luks\n".encode() in initrd


def test_a_mapping_that_only_the_initrd_knows_is_refused(tmp_path: Path) -> None:
    disk, key = make(tmp_path, "/dev/mapper/vda3_crypt /home ext4 defaults 0 2\n")
    before = disk.read_bytes()
    done = unclone("sanitize", "--engine", "appliance", "--key-file", key, disk)
    assert done.returncode == 4
    assert "mounts /dev/mapper/vda3_crypt at /home: no disk has it" in " ".join(done.stderr.split())
    assert disk.read_bytes() == before
