"""``unclone audit`` looks at partitions and disks without a file system."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.disk_images import tool
from tests.support.disks import BARE_ROOT, MIB, Part, make_disk, poke
from tests.support.documents import check_document

if TYPE_CHECKING:
    from pathlib import Path

SHARED = "3f1c2f4e-8a67-4b0d-9d55-2f6f0c1b7a10"


def audit(*images: Path, status: int) -> dict[str, Any]:
    done = unclone("audit", "-q", "--no-cache", "--json", *images)
    assert done.returncode == status, done.stdout + done.stderr
    document = json.loads(done.stdout)
    check_document(document)
    return dict(document["results"][0])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_partition_without_a_file_system(tmp_path: Path, form: str) -> None:
    images = []
    for number in (1, 2):
        uuid = f"aaaaaaaa-1111-4222-8333-{number:012x}"
        tree = {**BARE_ROOT, "/etc/hostname": f"host-{number}\n"}
        raw = make_disk(
            tmp_path / f"{number}.raw", [Part("ext4", uuid=uuid, tree=tree), Part("", size=4)]
        )
        end = raw.stat().st_size - MIB  # of the partition
        poke(raw, end - 4 * MIB, f"label {SHARED} 0f1e2d3c4b5a6978{number:016x}".encode())
        poke(raw, end - 4096, b"9f86d081884c7d65")
        poke(raw, end - 2 * MIB, b"3d5c2f4e-8a67-4b0d-9d55-2f6f0c1b7a19")  # further inside
        if form != "raw":
            made = tmp_path / f"{number}.{form}"
            tool("qemu-img", "convert", "-O", form, "-f", "raw", raw, made)
            raw = made
        images.append(raw)
    found = audit(*images, status=0)
    assert {(each["kind"], each["machines"][0]["places"][0]) for each in found["unknown"]} == {
        ("hexadecimal", "/dev/sda2"),
        ("uuid", "/dev/sda2"),
    }
    assert SHARED not in json.dumps(found)  # it may be a secret


@pytest.mark.slow
def test_a_disk_without_partitions(tmp_path: Path) -> None:
    images = []
    for number in (1, 2):
        images.append(tmp_path / f"{number}.raw")
        images[-1].write_bytes(bytes(3 * MIB))
        poke(images[-1], 0, f"bluestore block device\n{SHARED}\n".encode())
    found = audit(*images, status=5)
    assert [(each["kind"], each["value"]) for each in found["shared"]] == [
        ("ceph-osd-uuid", SHARED)
    ]


def test_a_file_system_on_drbd(tmp_path: Path) -> None:
    """Its metadata are at the end of the device, behind the file system."""
    images = []
    for number in (1, 2):
        uuid = f"aaaaaaaa-1111-4222-8333-{number:012x}"
        tree = {**BARE_ROOT, "/etc/hostname": f"host-{number}\n"}
        images.append(make_disk(tmp_path / f"{number}.raw", [Part("ext4", uuid=uuid, tree=tree)]))
        end = images[-1].stat().st_size - MIB  # of the partition
        poke(images[-1], end - 4096 + 40, bytes.fromhex("00000000deadbeef"))
        poke(images[-1], end - 4096 + 60, bytes.fromhex("8374026c"))
    found = audit(*images, status=5)
    assert [(each["kind"], each["value"]) for each in found["shared"]] == [
        ("drbd-device-uuid", "deadbeef")
    ]
