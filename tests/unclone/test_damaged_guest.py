"""Guests whose file system says it is clean and is not, and hostile trees.

What a boot-time check repairs is repaired; everything else leaves the image as it was.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.direct import make_huge_directory, mounted_direct, require_sound
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, MIB, Part, make_disk
from tests.support.selection import slow_but

if TYPE_CHECKING:
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
ROOT = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/usr/lib/systemd/systemd": "ELF",
    "/var/lib/cloud/instances/old/obj.pkl": "x",
}

SLOW = pytest.mark.slow

#: Setting a new UUID begins with a check of its own.
SAME_UUID = ("--engine", "direct", "--disable", "file-system-uuid")


def guest(folder: Path, **tree: str | bytes | None) -> Path:
    return make_disk(folder / "disk.raw", [Part("ext4", tree={**ROOT, **tree})])


def debugfs(image: Path, *commands: str) -> str:
    argv = ["debugfs", "-w", "-f", "-", f"{image}?offset={MIB}"]
    script = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(argv, input=script.encode(), check=True, capture_output=True)
    return done.stdout.decode("utf-8", "replace")


def complaints(image: Path) -> str:
    argv = ["e2fsck", "-fn", f"{image}?offset={MIB}"]
    done = subprocess.run(argv, check=False, capture_output=True)
    return (done.stdout + done.stderr).decode() if done.returncode else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("set_inode_field /etc/hostname links_count 7", id="a wrong link count"),
        pytest.param("clri /etc/hostname", id="a name for no inode", marks=SLOW),
        pytest.param(
            "freei /etc/hostname", id="an inode that is called free", marks=pytest.mark.slow
        ),
    ],
)
def test_what_a_boot_would_repair_is_repaired(tmp_path: Path, damage: str) -> None:
    image = guest(tmp_path)
    debugfs(image, damage)
    assert complaints(image)
    done = unclone("sanitize", *SAME_UUID, "--json", image)
    assert done.returncode == 0, done.stderr
    assert "once more" in done.stderr
    assert ID in json.dumps(json.loads(done.stdout)["results"][0]["retired"])
    assert not complaints(image)
    assert "once more" not in unclone("sanitize", *SAME_UUID, image).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("set_inode_field /etc block[5] 99999999", id="a block beyond the end"),
        pytest.param(
            "set_inode_field /etc/hostname block[0] 0",
            id="no tree of extents",
            marks=SLOW,
        ),
        pytest.param(
            "set_inode_field /etc/hostname block[5] 2",
            id="a block claimed twice",
            marks=SLOW,
        ),
        pytest.param("unlink /srv", id="a folder that nothing names"),
    ],
)
def test_other_damage_leaves_the_image_as_it_was(tmp_path: Path, damage: str) -> None:
    image = guest(tmp_path, **{"/srv": None})
    debugfs(image, damage)
    assert complaints(image)
    before = digest(image)
    done = unclone("sanitize", *SAME_UUID, image)
    assert done.returncode == 4, done.stderr
    assert digest(image) == before
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]


@pytest.mark.slow
def test_hostile_names_and_links(tmp_path: Path) -> None:
    odd = [
        "-rf",
        "two\nlines",
        "'quoted\"",
        "$(reboot)",
        "...",
        "..\n",
        "a/../b".replace("/", "\\"),
    ]
    tree: dict[str, str | bytes | None] = {
        "/var/lib/cloud/instances/loop": "-> loop",
        "/var/lib/cloud/instances/ping": "-> pong",
        "/var/lib/cloud/instances/pong": "-> ping",
        "/var/lib/cloud/instances/up": "-> ../../../../../..",
        "/var/lib/cloud/instances/host": "-> /etc/passwd",
        "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "/etc/ssh": "-> /etc/ssh",
        "/var/lib/dhcp": "-> ../lib/dhcp",
        **{f"/var/lib/cloud/instances/{name}/{name}": "x" for name in odd},
        **{f"/srv/{name}": "kept" for name in odd},
    }
    image = guest(tmp_path, **tree)
    done = unclone("sanitize", "--engine", "direct", image)
    assert done.returncode == 0, done.stderr
    assert not complaints(image)
    assert "/instances/" not in debugfs(image, "ls -p /var/lib/cloud")
    assert "root:x" in debugfs(image, "cat /etc/passwd")
    assert debugfs(image, "ls -p /srv").count("/100644/") == len(odd)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", slow_but([b"..", b"a/b"], [b"..", b".", b"a/b", b"/..", b"a\0b"]), ids=repr
)
def test_a_name_that_no_file_can_have(tmp_path: Path, name: bytes) -> None:
    """The kernel lets nobody make such a name; whoever writes to the disk can."""
    placeholder = b"PLACEHOLDER"[: len(name)] + b"~" * 9
    image = guest(tmp_path, **{f"/var/lib/cloud/instances/{placeholder.decode()}": "x"})
    raw = image.read_bytes()
    entry = bytes([len(placeholder), 1]) + placeholder
    assert raw.count(entry) == 1
    image.write_bytes(
        raw.replace(entry, bytes([len(name), 1]) + name.ljust(len(placeholder), b"~"))
    )
    before = digest(image)
    done = unclone("sanitize", "--engine", "direct", image)
    assert done.returncode in {1, 4}, done.stderr
    assert digest(image) == before
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2000, 5000])
def test_folders_within_each_other(tmp_path: Path, depth: int) -> None:
    """The deepest holds what a run looks for; no program could open the file of 10,000 bytes."""
    uuid = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
    disk = tmp_path / "disk.raw"
    make_disk(
        disk, [Part("ext4", {**ROOT, "/etc/x": uuid}, uuid, size=64, options=("-N", "20000"))]
    )
    for folder in ("/etc", "/boot"):
        debugfs(
            disk, f"mkdir {folder}", f"cd {folder}", *["mkdir d", "cd d"] * depth, "ln /etc/x f"
        )
    done = unclone("sanitize", "--engine", "direct", "--json", disk)
    assert done.returncode == 0, done.stderr
    assert not complaints(disk)
    assert uuid not in json.dumps(json.loads(done.stdout)["results"][0]["identifiers"])


COMMENT = "# comment line of some length here\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "size", "follows"),
    [
        ("/etc/fstab", 9_000_000, True),
        ("/boot/grub/grub.cfg", 9_000_000, True),
        ("/boot/grub/grub.cfg", 17_000_000, False),
        ("/etc/systemd/system/srv.mount", 17_000_000, False),
        ("/etc/udev/rules.d/70-disk.rules", 17_000_000, False),
    ],
)
def test_a_large_text_follows_or_keeps_what_it_refers_to(
    tmp_path: Path, path: str, size: int, *, follows: bool
) -> None:
    uuid = "6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b"
    lines = {
        "fstab": f"UUID={uuid} / ext4 defaults 0 1\n",
        "grub.cfg": f"search --fs-uuid --set=root {uuid}\n",
        "srv.mount": f"[Mount]\nWhat=/dev/disk/by-uuid/{uuid}\nWhere=/srv\n",
        "70-disk.rules": f'ENV{{ID_FS_UUID}}=="{uuid}", SYMLINK+="root"\n',
    }
    text = COMMENT * (size // len(COMMENT)) + lines[path.rpartition("/")[2]]
    disk = make_disk(tmp_path / "disk.raw", [Part("ext4", {**ROOT, path: text}, uuid, size=96)])
    done = unclone("sanitize", "--engine", "direct", disk)
    assert done.returncode == 0, done.stderr
    assert (f"{path} may refer" in done.stdout.replace("\n", " ")) is not follows
    now = debugfs(disk, "show_super_stats -h").partition("UUID:")[2].split()[0]
    assert (now != uuid) is follows
    assert debugfs(disk, f"cat {path}").rstrip().endswith(text.replace(uuid, now)[-60:].rstrip())


@pytest.mark.slow
def test_a_directory_with_100_000_entries(tmp_path: Path) -> None:
    image = make_huge_directory(tmp_path / "disk.raw")
    volumes = mounted_direct(image)
    for path, content in ROOT.items():
        folders = path.split("/")[1:] if content is None else path.split("/")[1:-1]
        for depth in range(1, len(folders) + 1):
            if folders[depth - 1] not in volumes.scan("/" + "/".join(folders[: depth - 1])):
                above = "/" + "/".join(folders[:depth])
                volumes.make_directory(above, mode=0o755, uid=0, gid=0)
        if content is not None:
            volumes.create(path, os.fsencode(content), mode=0o644, uid=0, gid=0)
    volumes.rename("/many", "/var/lib/cloud/instances/many")
    volumes.close()
    done = unclone("sanitize", "--engine", "direct", image)
    assert done.returncode == 0, done.stderr
    volumes = mounted_direct(image)
    assert "instances" not in volumes.scan("/var/lib/cloud")
    assert volumes.lstat("/f0").links == 1
    require_sound(volumes, image)
