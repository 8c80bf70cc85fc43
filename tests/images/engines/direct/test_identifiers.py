"""Identifiers of devices: set by the engine, read back by the tools that own them."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.direct import complaints, make_ext, open_direct
from tests.support.disks import ESP, Part, make_disk
from unclone.images.errors import EngineError
from unclone.images.process import run
from unclone.images.volumes import Identifier, IdentifierKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.engines.direct.volumes import DirectVolumes

NEW = "0f0e0d0c-0b0a-4908-8706-050403020100"

PARTS = [
    Part("vfat", {"/EFI/debian/grub.cfg": "x"}, gpt_type=ESP, gpt_name="esp", label="EFI"),
    Part("ext4", {"/etc/fstab": "x"}, gpt_name="root", label="root fs"),
    Part("swap", label="swap area"),
    Part("ext2", {"/kernel": "x"}),
    Part("vfat", {"/a": "x"}, options=("-F", "16"), size=16),
    Part(""),
]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "disk", PARTS)


@pytest.fixture
def volumes(disk: Path) -> Iterator[DirectVolumes]:
    opened = open_direct(disk)
    yield opened
    opened.close()


def table_of(disk: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(run(["sfdisk", "--json", disk]).stdout)
    return dict(table["partitiontable"])


def blkid(disk: Path, start: int, size: int) -> dict[str, str]:
    """What blkid says of a part of *disk*; offsets and sizes are bytes."""
    command = ["blkid", "-p", "-o", "export", "-O", str(start), "-S", str(size), str(disk)]
    lines = run(command, ok=(0, 2)).stdout.decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_everything_is_named_as_blkid_names_it(disk: Path) -> None:
    volumes = open_direct(disk, read_only=True)
    try:
        found = volumes.file_systems()
    finally:
        volumes.drop()
    partitions = table_of(disk)["partitions"]
    assert len(found) == len(partitions) == len(PARTS)
    for seen, entry in zip(found, partitions, strict=True):
        said = blkid(disk, entry["start"] * 512, entry["size"] * 512)
        assert seen.type == said.get("TYPE", "unknown")
        assert seen.uuid == said.get("UUID", "")
        assert seen.label == said.get("LABEL", "").replace("\\ ", " ")
        assert seen.partition_uuid == entry["uuid"].lower()
        assert seen.partition_label == entry.get("name", "")
        assert seen.partition_type == entry["type"].lower()
        assert seen.size == entry["size"] * 512


SET = [
    (IdentifierKind.DISK_GUID, "/dev/sda", NEW),
    (IdentifierKind.PARTITION_GUID, "/dev/sda1", NEW),
    (IdentifierKind.PARTITION_GUID, "/dev/sda6", NEW),
    (IdentifierKind.VFAT_SERIAL, "/dev/sda1", "1234-ABCD"),
    (IdentifierKind.VFAT_SERIAL, "/dev/sda5", "1234-ABCD"),
    (IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda2", NEW),
    (IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda4", NEW),
    (IdentifierKind.SWAP_UUID, "/dev/sda3", NEW),
]


@pytest.mark.parametrize(("kind", "device", "value"), SET, ids=[f"{k}{d[-5:]}" for k, d, _ in SET])
def test_one_identifier_is_set_and_no_other(
    disk: Path, kind: IdentifierKind, device: str, value: str
) -> None:
    volumes = open_direct(disk)
    before = {(i.kind, i.device): i.value for i in volumes.identifiers()}
    volumes.set_identifiers([Identifier(kind, device, value)])
    assert {(i.kind, i.device): i.value for i in volumes.identifiers()} == {
        **before,
        (kind, device): value,
    }
    volumes.mount("/dev/sda2", "/", subvolume="", read_only=True)
    assert volumes.read("/etc/fstab", 10) == b"x"
    volumes.close()

    table = table_of(disk)
    assert b"No errors detected" in run(["sfdisk", "--verify", disk]).stdout
    number = int(device.removeprefix("/dev/sda") or "0")
    if kind is IdentifierKind.DISK_GUID:
        assert table["id"] == value.upper()
        return
    entry = table["partitions"][number - 1]
    if kind is IdentifierKind.PARTITION_GUID:
        assert entry["uuid"] == value.upper()
    else:
        said = blkid(disk, entry["start"] * 512, entry["size"] * 512)
        assert said["UUID"] == value


def test_both_copies_of_a_gpt_say_the_same(disk: Path, volumes: DirectVolumes) -> None:
    volumes.set_identifiers([Identifier(IdentifierKind.DISK_GUID, "/dev/sda", NEW)])
    volumes.set_identifiers([Identifier(IdentifierKind.PARTITION_GUID, "/dev/sda2", NEW)])
    volumes.close()
    raw = disk.read_bytes()
    assert raw.count(uuid.UUID(NEW).bytes_le) == 4
    with disk.open("r+b") as file:  # without the first copy, the second has to do
        file.seek(512)
        file.write(bytes(512))
    again = open_direct(disk, read_only=True)
    try:
        assert [fs.partition_uuid for fs in again.file_systems()][1] == NEW
    finally:
        again.drop()


def test_an_mbr_disk_id_changes_the_names_of_its_partitions(tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "disk", [Part("ext4"), Part("swap")], table="dos")
    volumes = open_direct(disk)
    volumes.set_identifiers([Identifier(IdentifierKind.MBR_DISK_ID, "/dev/sda", "1a2b3c4d")])
    assert [fs.partition_uuid for fs in volumes.file_systems()] == ["1a2b3c4d-01", "1a2b3c4d-02"]
    volumes.close()
    assert table_of(disk)["id"] == "0x1a2b3c4d"


def test_logical_partitions_are_found(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(32 << 20)
    script = "label: dos\nstart=1MiB, size=4MiB\nstart=5MiB, type=5\nstart=6MiB, size=4MiB\n"
    run(["sfdisk", "--quiet", "--no-reread", disk], stdin=f"{script}start=11MiB\n".encode())
    volumes = open_direct(disk, read_only=True)
    try:
        found = [(fs.device, fs.size >> 20) for fs in volumes.file_systems()]
    finally:
        volumes.drop()
    assert found == [("/dev/sda1", 4), ("/dev/sda5", 4), ("/dev/sda6", 21)]


def test_a_new_uuid_leaves_the_file_system_sound(tmp_path: Path) -> None:
    image = make_ext(tmp_path / "image", "ext4")
    volumes = open_direct(image)
    volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    volumes.create("/file", b"x" * 100_000, mode=0o644, uid=0, gid=0)
    volumes.unmount_all()
    volumes.set_identifiers([Identifier(IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda", NEW)])
    volumes.mount("/dev/sda", "/", subvolume="", read_only=False)
    assert volumes.read("/file", 1 << 20) == b"x" * 100_000
    volumes.remove("/file")
    volumes.close()
    assert not complaints(image), complaints(image)


WRONG = [
    (IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda2", "clear"),
    (IdentifierKind.FILE_SYSTEM_UUID, "/dev/sda1", NEW),
    (IdentifierKind.VFAT_SERIAL, "/dev/sda2", "1234-ABCD"),
    (IdentifierKind.SWAP_UUID, "/dev/sda2", NEW),
    (IdentifierKind.PARTITION_GUID, "/dev/sda", NEW),
    (IdentifierKind.DISK_GUID, "/dev/sda1", NEW),
    (IdentifierKind.MBR_DISK_ID, "/dev/sda", "1a2b3c4d"),
    (IdentifierKind.LUKS_UUID, "/dev/sda2", NEW),
]


def test_what_cannot_be_set_is_refused(disk: Path, volumes: DirectVolumes) -> None:
    before = volumes.identifiers()
    for kind, device, value in WRONG:
        with pytest.raises(EngineError):
            volumes.set_identifiers([Identifier(kind, device, value)])
    assert volumes.identifiers() == before
