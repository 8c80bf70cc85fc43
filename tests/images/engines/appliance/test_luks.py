"""The layout of an enterprise guest: ESP, ext4 /boot, and LVM with an XFS root inside of LUKS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.appliance import KEY, decrypt, encrypt, open_appliance, require_clean
from tests.support.disks import ESP, MIB, Part, make_disk, make_file_system
from tests.support.families import DEBIAN_12
from tests.support.lvm import MEMBER_UUID, make_physical_volume
from tests.support.templates import copy_into
from unclone.images.errors import RefusedError
from unclone.images.process import run

pytestmark = pytest.mark.slow

UUIDS = {
    "root": "11111111-2222-3333-4444-555555555551",
    "boot": "11111111-2222-3333-4444-555555555552",
    "luks": "11111111-2222-3333-4444-555555555553",
    "esp": "1234-5678",
}
TREE = {
    **DEBIAN_12,
    "/etc/fstab": (
        "/dev/mapper/vg-root / xfs defaults 0 0\n"
        f"UUID={UUIDS['boot']} /boot ext4 defaults 0 2\n"
        f"UUID={UUIDS['esp']} /boot/efi vfat umask=0077 0 1\n"
        "/dev/vg/swap none swap sw 0 0\n"
    ),
    "/etc/crypttab": f"vda3_crypt UUID={UUIDS['luks']} none luks\n",
    "/boot": None,
}
#: Where the LUKS container is on the disk.
START = (1 + 40 + 24) * MIB
SECRET = "a-secret-in-the-guest"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The disk, and the file with the key."""
    folder = tmp_path_factory.mktemp("luks")
    root = Part("xfs", {**TREE, f"/root/{SECRET}": SECRET}, UUIDS["root"])
    contents = {
        "root": make_file_system(folder / "root", root),
        "swap": make_file_system(folder / "swap", Part("swap")),
    }
    container = make_physical_volume(folder / "container", "vg", contents)
    encrypt(container, folder / "key", "--uuid", UUIDS["luks"])
    parts = [
        Part("vfat", {"/EFI/debian/grub.cfg": "x"}, UUIDS["esp"], gpt_type=ESP),
        Part("ext4", {"/efi": None, "/config-6.1.0-9-amd64": ""}, UUIDS["boot"]),
        Part("", size=container.stat().st_size // MIB),
    ]
    disk = make_disk(folder / "disk", parts)
    copy_into(container, disk, START)
    return disk, folder / "key"


def sanitize(
    disk: Path, *options: object, path: str = os.environ["PATH"]
) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "unclone", "sanitize", disk, "--engine", "appliance", *options]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        [*map(str, argv)], capture_output=True, text=True, check=False, env=environment
    )


def test_lvm_in_luks_gets_new_identifiers(guest: tuple[Path, Path], tmp_path: Path) -> None:
    """Nothing that cryptsetup is called with, and nothing that is said, holds the key."""
    disk, key = Path(shutil.copy(guest[0], tmp_path / "disk")), guest[1]
    wrapper, calls = tmp_path / "bin/cryptsetup", tmp_path / "calls"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexec {shutil.which("cryptsetup")} "$@"\n')
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{os.environ['PATH']}"
    done = sanitize(disk, "--uuids", "renew", "--key-file", key, "--json", "--verbose", path=path)
    assert done.returncode == 0, done.stderr
    first_line = KEY.decode().splitlines()[0]
    assert "--dump-volume-key" in calls.read_text()
    assert first_line not in calls.read_text() + done.stdout + done.stderr

    container = tmp_path / "container"
    container.write_bytes(disk.read_bytes()[START : -1 * MIB])
    luks = run(["cryptsetup", "luksUUID", container]).stdout.decode().strip()
    decrypt(container, key)
    content = container.read_bytes()
    assert MEMBER_UUID.replace("-", "").encode() not in content
    root = tmp_path / "root"
    root.write_bytes(content[MIB : 321 * MIB])
    require_clean(root, "xfs")
    said = run(["blkid", "-p", "-o", "value", "-s", "UUID", root]).stdout.decode().strip()
    volumes = open_appliance(disk, read_only=True, keys=lambda _: [KEY])
    uuids = {found.device: found.uuid for found in volumes.file_systems()}
    volumes.mount("/dev/vg/root", "/", subvolume="", read_only=True)
    fstab = volumes.read("/etc/fstab", 1000).decode()
    crypttab = volumes.read("/etc/crypttab", 1000).decode()
    machine_id = volumes.read("/etc/machine-id", 100)
    volumes.drop()
    assert uuids["/dev/vg/root"] == said
    assert {said, luks, uuids["/dev/sda1"], uuids["/dev/sda2"]}.isdisjoint(UUIDS.values())
    assert crypttab == f"vda3_crypt UUID={luks} none luks\n"
    assert f"UUID={uuids['/dev/sda2']} /boot ext4" in fstab
    assert f"UUID={uuids['/dev/sda1']} /boot/efi vfat" in fstab
    assert "/dev/mapper/vg-root / xfs defaults 0 0" in fstab
    assert machine_id in {b"", b"uninitialized\n"}


def test_no_copy_of_what_is_encrypted_is_on_the_disk(
    guest: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checker sees the content; no file in the temporary folder has it then."""
    disk = Path(shutil.copy(guest[0], tmp_path / "disk"))
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    volumes = open_appliance(disk, keys=lambda _: [KEY])
    (root,) = [each for each in volumes._read() if each.name == "/dev/vg/root"]
    with volumes._disks.as_file(root) as file:
        assert SECRET.encode() in file.read_bytes()
        files = [each for each in folder.rglob("*") if each.is_file()]
        assert files
        assert all(SECRET.encode() not in each.read_bytes() for each in files)
    volumes.drop()


@pytest.mark.parametrize(
    ("keys", "message"),
    [((), "is encrypted .* and no key was given"), ((b"wrong",), "none of the 1 keys opens")],
)
def test_without_the_key_it_is_refused(
    guest: tuple[Path, Path], keys: tuple[bytes, ...], message: str
) -> None:
    volumes = open_appliance(guest[0], read_only=True, keys=lambda _: keys)
    with pytest.raises(RefusedError, match=message):
        volumes.beyond_reach()
    volumes.drop()
