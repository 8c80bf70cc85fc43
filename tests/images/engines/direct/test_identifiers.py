"""Identifiers of devices: set by the engine, read back by the tools that own them."""

from __future__ import annotations

import json
import struct
import uuid
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.direct import complaints, make_ext, open_direct
from tests.support.disk_images import digest
from tests.support.disks import ESP, FileBlocks, Part, make_disk, poke
from tests.support.selection import slow_but
from tests.support.templates import data
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


@pytest.mark.slow
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
    assert b"".join(piece for _, piece in data(disk)).count(uuid.UUID(NEW).bytes_le) == 4
    poke(disk, 512, bytes(512))  # without the first copy, the second has to do
    again = open_direct(disk, read_only=True)
    try:
        assert [fs.partition_uuid for fs in again.file_systems()][1] == NEW
    finally:
        again.drop()


def old_guids(disk: Path) -> list[bytes]:
    """Of the disk and its partitions, as they are in a GPT."""
    table = table_of(disk)
    texts = [table["id"], *(entry["uuid"] for entry in table["partitions"])]
    return [uuid.UUID(text).bytes_le for text in texts]


def renew_guids(disk: Path) -> None:
    """Give every GUID in the partition table of *disk* a new value."""
    kinds = {IdentifierKind.DISK_GUID, IdentifierKind.PARTITION_GUID}
    volumes = open_direct(disk)
    found = [one for one in volumes.identifiers() if one.kind in kinds]
    assert len(found) == 1 + len(PARTS)
    volumes.set_identifiers([replace(one, value=str(uuid.uuid4())) for one in found])
    volumes.close()


def require_none(guids: list[bytes], disk: Path) -> None:
    """None of *guids* is anywhere on *disk*."""
    written = b"".join(piece for _, piece in data(disk))
    assert not [guid for guid in guids if guid in written]


def require_valid_table(disk: Path) -> None:
    """Both copies are valid: sfdisk says so, and which of them is not."""
    said = run(["sfdisk", "--verify", disk])
    assert b"No errors detected" in said.stdout
    assert b"corrupt" not in said.stdout + said.stderr


def damage(disk: Path, *places: int) -> None:
    with disk.open("r+b") as file:
        for place in places:
            file.seek(place, 0 if place >= 0 else 2)
            file.write(b"\xa5\x5a\xa5\x5a")


DAMAGE = {
    "checksum of the primary header": (512 + 16,),
    "magic of the primary header": (512,),
    "primary table": (1024 + 16,),
    "checksum of the backup header": (-512 + 16,),
    "magic of the backup header": (-512,),
    "backup table": (-33 * 512 + 16,),
}


@pytest.mark.parametrize("places", slow_but([*DAMAGE.values()][:2], DAMAGE.values()), ids=DAMAGE)
def test_a_damaged_copy_of_a_gpt_keeps_no_old_guid(disk: Path, places: tuple[int, ...]) -> None:
    old = old_guids(disk)
    damage(disk, *places)
    renew_guids(disk)
    require_none(old, disk)
    require_valid_table(disk)
    assert not set(old) & set(old_guids(disk))


def test_copies_that_differ_say_the_same_afterwards(disk: Path) -> None:
    old = old_guids(disk)
    place = disk.stat().st_size - 33 * 512
    backup = FileBlocks(disk).read(place, 33 * 512)
    run(["sfdisk", "-q", "--no-reread", "--part-uuid", disk, "2", str(uuid.uuid4())])
    poke(disk, place, backup)
    renew_guids(disk)
    require_none(old, disk)
    require_valid_table(disk)


def test_a_backup_that_is_no_longer_at_the_end_follows(disk: Path) -> None:
    old = old_guids(disk)
    with disk.open("r+b") as file:
        file.truncate(disk.stat().st_size + (8 << 20))
    renew_guids(disk)
    require_none(old, disk)
    assert b"".join(piece for _, piece in data(disk)).count(b"EFI PART") == 2


def test_a_hybrid_mbr_stays(disk: Path) -> None:
    old = old_guids(disk)
    # Beside the protective entry, one for a partition of the GPT.
    poke(disk, 446 + 16, struct.pack("<4xB3xII", 0x83, 2048, 2048))
    before = FileBlocks(disk).read(0, 512)
    renew_guids(disk)
    assert FileBlocks(disk).read(0, 512) == before
    require_none(old, disk)


def test_a_damaged_copy_with_no_room_to_be_made_again_is_refused(disk: Path) -> None:
    header = bytearray(FileBlocks(disk).read(512, 92))
    struct.pack_into("<Q", header, 32, 4096)  # the backup would be inside the first partition
    struct.pack_into("<I", header, 16, 0)
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    poke(disk, 512, header)
    damage(disk, -512)
    before = digest(disk)
    volumes = open_direct(disk)
    with pytest.raises(EngineError, match="no room"):
        volumes.set_identifiers([Identifier(IdentifierKind.DISK_GUID, "/dev/sda", NEW)])
    volumes.close()
    assert digest(disk) == before


def with_large_sectors(disk: Path) -> None:
    """Make the GPT of *disk* one for sectors of 4096 bytes; partitions stay where they are."""
    last = disk.stat().st_size // 4096 - 1
    header = bytearray(FileBlocks(disk).read(512, 92))
    entries = bytearray(FileBlocks(disk).read(1024, 16384))
    for at in range(0, 16384, 128):
        first, end = struct.unpack_from("<QQ", entries, at + 32)
        if first:
            struct.pack_into("<QQ", entries, at + 32, first // 8, (end + 1) // 8 - 1)
    poke(disk, 512, bytes(17408))
    poke(disk, disk.stat().st_size - 16896, bytes(16896))
    for own, other, table in ((1, last, 2), (last, 1, last - 4)):
        struct.pack_into("<QQQQ", header, 24, own, other, 6, last - 5)
        struct.pack_into("<Q", header, 72, table)
        struct.pack_into("<I", header, 88, zlib.crc32(entries))
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        poke(disk, own * 4096, header)
        poke(disk, table * 4096, entries)


@pytest.mark.parametrize("damaged", slow_but([()], [(), (4096 + 16,), (-4096 + 16,)]), ids=str)
def test_a_gpt_for_large_sectors_is_renewed_in_both_copies(
    disk: Path, damaged: tuple[int, ...]
) -> None:
    old = old_guids(disk)
    with_large_sectors(disk)
    damage(disk, *damaged)
    renew_guids(disk)
    require_none(old, disk)
    last = disk.stat().st_size // 4096 - 1
    raw = FileBlocks(disk)
    for own, table in ((1, 2), (last, last - 4)):
        header = bytearray(raw.read(own * 4096, 92))
        entries = raw.read(table * 4096, 16384)
        said, of_table = struct.unpack_from("<I", header, 16), struct.unpack_from("<I", header, 88)
        struct.pack_into("<I", header, 16, 0)
        assert (said, of_table) == ((zlib.crc32(header),), (zlib.crc32(entries),))
        assert entries == raw.read(8192, 16384)
        assert struct.unpack_from("<Q", header, 72) == (table,)


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
