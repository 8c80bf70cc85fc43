"""A guest with its ext4 root on a RAID1 of two disks, sanitised and judged by the tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import require_clean
from tests.support.disks import MIB, Part, make_file_system
from tests.support.families import DEBIAN_12
from tests.support.md import ARRAY_UUID, write_member
from tests.support.templates import copy_into
from unclone.images.process import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

UUID = "11111111-2222-3333-4444-555555555555"


def test_each_member_of_a_mirror_gets_the_same(tmp_path: Path) -> None:
    fstab = f"UUID={UUID} / ext4 defaults 0 1\n"
    conf = f"ARRAY /dev/md/root metadata=1.2 UUID={spelled(ARRAY_UUID.hex)}\n"
    tree = {**DEBIAN_12, "/etc/fstab": fstab, "/etc/mdadm/mdadm.conf": conf}
    content = make_file_system(tmp_path / "content", Part("ext4", tree, UUID))
    images = [tmp_path / "sda", tmp_path / "sdb"]
    for number, image in enumerate(images):
        with image.open("wb") as file:
            file.truncate(content.stat().st_size + 2 * MIB)
        write_member(image, number, "1.2")
        copy_into(content, image, MIB)
    argv = [sys.executable, "-m", "unclone", "sanitize", images[0], "--add-disk", images[1]]
    argv += ["--uuids", "renew", "--engine", "appliance", "--json"]
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["results"]
    said = [run(["mdadm", "--examine", image]).stdout.decode() for image in images]
    arrays = {found[1] for text in said if (found := re.search(r"Array UUID : (\S+)", text))}
    assert all("Checksum" in text and "correct" in text for text in said)
    contents = [image.read_bytes()[MIB:-MIB] for image in images]
    assert contents[0] == contents[1]
    assert contents[0] != content.read_bytes()
    content.write_bytes(contents[0])
    require_clean(content, "ext4")
    uuid = run(["blkid", "-p", "-o", "value", "-s", "UUID", content]).stdout.decode().strip()
    (array,) = arrays
    assert uuid != UUID
    assert array != spelled(ARRAY_UUID.hex)
    text = run(["debugfs", "-R", "cat /etc/fstab", content]).stdout.decode()
    assert text == fstab.replace(UUID, uuid)
    text = run(["debugfs", "-R", "cat /etc/mdadm/mdadm.conf", content]).stdout.decode()
    assert text == f"ARRAY /dev/md/root metadata=1.2 UUID={array}\n"
    assert report["engine"] == "appliance"


def spelled(digits: str) -> str:
    """As mdadm spells a UUID."""
    return ":".join(digits[at : at + 8] for at in range(0, 32, 8))
