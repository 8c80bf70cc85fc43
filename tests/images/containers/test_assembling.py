"""Containers that LVM and cryptsetup made, opened on the host: every byte is where they say."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import FileBlocks
from tests.support.md import write_member
from unclone.images.containers.assembling import Assembled, assemble
from unclone.images.containers.lvm import open_group
from unclone.images.errors import EngineError, RefusedError
from unclone.images.file_systems.table import recognise
from unclone.images.identifiers import lvm
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

MIB = 1024 * 1024
#: Each unit of a member begins with its name and the unit's number.
UNIT = 64 * 1024
KEY = b"secret\n"


@dataclass(frozen=True)
class FileDevice:
    """A file as a device of a guest."""

    name: str
    path: Path

    @property
    def type(self) -> str:
        return recognise(FileBlocks(self.path))

    def open(self) -> FileBlocks:
        return FileBlocks(self.path)


def keys(*tried: bytes) -> Callable[[str], Iterable[bytes]]:
    return lambda _: tried


def mark(unit: int, name: str) -> bytes:
    return f"{name} {unit}\n".encode().ljust(32)


# -- LVM -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sequence[FileDevice], str]:
    """Two physical volumes full of marks, and what lvs says of their logical volumes."""
    folder = tmp_path_factory.mktemp("group")
    paths = [folder / "sda1", folder / "sdb"]
    for path in paths:
        path.write_bytes(b"".join(mark(n, path.name).ljust(UNIT) for n in range(64 * 16)))
    nodes: list[str] = []
    try:
        for path in paths:
            os.truncate(path, 64 * MIB)
            nodes.append(run(["losetup", "-f", "--show", path]).stdout.decode().strip())

        def lvm_(*command: str) -> bytes:
            options = ("--devices", ",".join(nodes), "--driverloaded", "n")
            return run(["lvm", *command, *options]).stdout

        lvm_("pvcreate", "-y", *nodes)
        lvm_("vgcreate", "-y", "-s", "1M", "my-vg", *nodes)
        create = ("lvcreate", "-y", "-an", "-Zn", "-Wn")
        lvm_(*create, "-i", "2", "-I", "64k", "-l", "10", "-n", "striped", "my-vg")
        lvm_(*create, "-l", "70", "-n", "long-one", "my-vg")
        lvm_(*create, "-l", "2", "-pr", "-n", "read-only", "my-vg")
        fields = "lv_name,lv_uuid,vg_uuid,seg_start_pe,seg_size_pe,stripe_size,devices"
        said = lvm_("lvs", "-o", fields, "--reportformat", "json", "--units", "b", "--nosuffix")
    finally:
        for node in nodes:
            run(["losetup", "-d", node])
    text = said.decode()
    for path, node in zip(paths, nodes, strict=True):
        text = text.replace(f"{node}(", f"/dev/{path.name}(")
    return [FileDevice(f"/dev/{path.name}", path) for path in paths], text


def expected(report: str, name: str) -> Iterator[tuple[str, int]]:
    """The device and byte offset of each unit of a volume, as lvs describes it."""
    rows = [row for row in json.loads(report)["report"][0]["lv"] if row["lv_name"] == name]
    for row in sorted(rows, key=lambda row: int(row["seg_start_pe"])):
        places = [one.rstrip(")").split("(") for one in row["devices"].split(",")]
        for unit in range(int(row["seg_size_pe"]) * MIB // UNIT):
            device, extent = places[unit % len(places)]
            yield device, (1 + int(extent)) * MIB + unit // len(places) * UNIT


def volumes(devices: Sequence[FileDevice]) -> Assembled:
    return assemble(devices, keys())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["long-one", "striped"])
def test_a_logical_volume_is_where_lvm_says(
    group: tuple[Sequence[FileDevice], str], name: str
) -> None:
    devices, report = group
    paths = {device.name: device.path for device in devices}
    (found,) = [v for v in volumes(devices).volumes if v.name == f"/dev/my-vg/{name}"]
    places = list(expected(report, name))
    assert found.size == len(places) * UNIT
    with closing(found.open()) as blocks:
        content = blocks.read(0, found.size)
        assert blocks.read(found.size - 10, 100) == content[-10:]
        for unit, (device, at) in enumerate(places):
            assert content[unit * UNIT : unit * UNIT + 32] == mark(
                at // UNIT, device.removeprefix("/dev/")
            )
        for at in (0, UNIT - 5, len(content) // 2 - 7, found.size - 100):
            before = blocks.read(at, 100)
            blocks.write(at, b"z" * 100)
            device, place = places[at // UNIT]
            assert FileBlocks(paths[device]).read(place + at % UNIT, 5) == b"zzzzz"
            after = content[:at][-50:] + b"z" * 100 + content[at + 100 : at + 150]
            assert blocks.read(max(at - 50, 0), len(after)) == after
            blocks.write(at, before)
        with pytest.raises(EngineError, match="beyond the end"):
            blocks.write(found.size - 1, b"zz")


def test_the_device_mapper_uuid_is_lvms(group: tuple[Sequence[FileDevice], str]) -> None:
    devices, report = group
    rows = json.loads(report)["report"][0]["lv"]
    uuids = {row["lv_name"]: f"{row['vg_uuid']}{row['lv_uuid']}".replace("-", "") for row in rows}
    for volume in volumes(devices).volumes:
        assert volume.mapper_uuid == f"LVM-{uuids[volume.name.rpartition('/')[2]]}"


def test_a_volume_that_may_not_be_written_stays_closed(
    group: tuple[Sequence[FileDevice], str],
) -> None:
    ((name, why),) = volumes(group[0]).closed
    assert name == "/dev/my-vg/read-only"
    assert "has flags that only LVM obeys (no WRITE)" in why


def test_a_group_with_a_missing_device_stays_closed(
    group: tuple[Sequence[FileDevice], str],
) -> None:
    found = volumes(group[0][:1])
    assert found.volumes == []
    ((name, why),) = found.closed
    assert name == "/dev/sda1"
    assert "only 1 of 2 devices are there" in why


@pytest.mark.parametrize("kind", ["thin", "cache", "raid1", "mirror", "striped+NEW", "error"])
def test_other_kinds_of_volumes_stay_closed(
    group: tuple[Sequence[FileDevice], str], kind: str
) -> None:
    """The text of the group as it would be with one volume of another kind."""
    members = {device.name: device for device in group[0]}
    physical = {name: found for name, d in members.items() if (found := lvm.read(d.open()))}
    (one,) = lvm.groups(physical)
    first, *others = one.text.volumes
    segments = tuple(replace(segment, kind=kind) for segment in first.segments)
    text = replace(one.text, volumes=(replace(first, segments=segments), *others))
    opened, closed = open_group(replace(one, text=text), physical, members)
    assert f"/dev/my-vg/{first.name}" not in {volume.name for volume in opened}
    assert f"is of a kind that only LVM opens ({kind})" in dict(closed)[f"/dev/my-vg/{first.name}"]


def test_a_snapshot_and_its_origin_stay_closed(group: tuple[Sequence[FileDevice], str]) -> None:
    members = {device.name: device for device in group[0]}
    physical = {name: found for name, d in members.items() if (found := lvm.read(d.open()))}
    (one,) = lvm.groups(physical)
    with_snapshot = replace(one, snapshots={"striped": "long-one"})
    opened, closed = open_group(with_snapshot, physical, members)
    assert opened == []
    assert "is a snapshot or has one" in dict(closed)["/dev/my-vg/striped"]
    assert "is a snapshot or has one" in dict(closed)["/dev/my-vg/long-one"]


# -- LUKS ----------------------------------------------------------------------------------
def encrypted(folder: Path, *options: str) -> tuple[FileDevice, bytes]:
    """A LUKS2 container that cryptsetup filled, and what is in it."""
    path, key = folder / "sda", folder / "key"
    plain = b"".join(mark(n, "plain").ljust(512, b"%d" % (n % 10)) for n in range(4 * MIB // 512))
    path.write_bytes(plain)
    os.truncate(path, 12 * MIB)
    key.write_bytes(KEY)
    quick = ("--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    shrink = ("--reduce-device-size", "8M", "--key-file", key)
    run(
        ["cryptsetup", "reencrypt", "--encrypt", "--type", "luks2", *shrink, *quick, *options, path]
    )
    return FileDevice("/dev/sda", path), plain


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--sector-size", "4096"), ("--key-size", "256")])
def test_luks_is_read_and_written_as_cryptsetup_does(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    device, plain = encrypted(tmp_path, *options)
    found = assemble([device], keys(b"wrong", KEY))
    (volume,) = found.volumes
    uuid = run(["cryptsetup", "luksUUID", device.path]).stdout.decode().strip()
    assert volume.name == f"/dev/mapper/luks-{uuid}"
    assert volume.mapper_uuid == f"CRYPT-LUKS2-{uuid.replace('-', '')}-luks-{uuid}"
    with closing(volume.open()) as blocks:
        assert blocks.read(0, len(plain)) == plain
        blocks.write(1000, b"changed" * 200)
    decrypt = ("--decrypt", "--force-offline-reencrypt", "--header", tmp_path / "header")
    key = ("--batch-mode", "--key-file", tmp_path / "key")
    run(["cryptsetup", "reencrypt", *decrypt, *key, device.path])
    judged = device.path.read_bytes()
    assert judged[: len(plain)] == plain[:1000] + b"changed" * 200 + plain[2400:]


def test_luks1_is_opened(tmp_path: Path) -> None:
    path, key = tmp_path / "sda", tmp_path / "key"
    path.write_bytes(b"")
    os.truncate(path, 8 * MIB)
    key.write_bytes(KEY)
    run(["cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", "--key-file", key,
         "--pbkdf-force-iterations", "1000", path])  # fmt: skip
    (volume,) = assemble([FileDevice("/dev/sda", path)], keys(KEY)).volumes
    assert volume.mapper_uuid.startswith("CRYPT-LUKS1-")
    with closing(volume.open()) as blocks:
        blocks.write(5000, b"content")
        assert blocks.read(4999, 9)[1:8] == b"content"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tried", "message"),
    [((), "is encrypted .* and no key was given"), ((b"wrong", b"secret"), "none of the 2 keys")],
)
def test_luks_without_its_key_is_refused(
    tmp_path: Path, tried: tuple[bytes, ...], message: str
) -> None:
    device, _ = encrypted(tmp_path)
    with pytest.raises(RefusedError, match=message):
        assemble([device], keys(*tried))


def test_another_cipher_stays_closed(tmp_path: Path) -> None:
    device, _ = encrypted(tmp_path, "--cipher", "aes-cbc-essiv:sha256")
    found = assemble([device], keys(KEY))
    assert found.volumes == []
    ((name, why),) = found.closed
    assert name == "/dev/sda"
    assert "its cipher is aes-cbc-essiv:sha256, not aes-xts-plain64" in why


@pytest.mark.parametrize("offset", [0, 4096])
def test_a_member_of_an_array_stays_closed(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "sda"
    path.write_bytes((bytes(offset) + b"\xfc\x4e\x2b\xa9").ljust(MIB, b"\0"))
    found = assemble([FileDevice("/dev/sda", path)], keys())
    assert found == ([], [("/dev/sda", "is a member of an MD array, which only a kernel can open")])


# -- MD ------------------------------------------------------------------------------------
def mirror(folder: Path, version: str) -> list[FileDevice]:
    """Two members of a RAID1 in sync, which mdadm finds no fault with."""
    paths = [folder / "sda", folder / "sdb"]
    for role, path in enumerate(paths):
        path.write_bytes(bytes(4 * MIB))
        write_member(path, role, version)
        said = run(["mdadm", "--examine", path]).stdout.decode()
        assert re.search(r"State : clean", said), said
        assert re.search(r"Raid Level : raid1", said)
        assert re.search(rf"Device Role : Active device {role}", said)
        assert "correct" in said
    return [FileDevice(f"/dev/{path.name}", path) for path in paths]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_mirror_is_read_and_both_members_are_written(tmp_path: Path, version: str) -> None:
    devices = mirror(tmp_path, version)
    opened = assemble(devices, keys())
    (volume,) = opened.volumes
    assert (volume.name, volume.size, opened.closed) == ("/dev/md127", 2 * MIB, [])
    with closing(volume.open()) as blocks:
        blocks.write(5000, b"content")
        assert blocks.read(4999, 9)[1:8] == b"content"
        assert blocks.read(2 * MIB - 1, 10) == b"\0"
        with pytest.raises(EngineError, match="beyond the end"):
            blocks.write(2 * MIB - 1, b"zz")
    for device in devices:
        assert device.path.read_bytes()[MIB + 5000 :][:7] == b"content"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"events": 8}, "not all of its 2 members are there and in sync"),
        ({"role": 0xFFFE}, "it is a spare, or has failed"),
        ({"resync": 0}, "it is not clean"),
        ({"features": 8}, "it is not clean, or has a feature that only a kernel supports"),
        ({"level": 5}, "its level is 5, not 1"),
        ({"used": 1 << 40}, "its data lies beyond its end"),
    ],
)
def test_a_mirror_that_is_not_in_sync_stays_closed(
    tmp_path: Path, damage: dict[str, int], message: str
) -> None:
    devices = mirror(tmp_path, "1.2")
    write_member(devices[1].path, 1, "1.2", **damage)
    found = assemble(devices, keys())
    assert found.volumes == []
    reasons = dict(found.closed)
    assert message in reasons["/dev/sdb"]
    assert "not all of its 2 members are there and in sync" in reasons["/dev/sda"]


def test_half_a_mirror_stays_closed(tmp_path: Path) -> None:
    found = assemble(mirror(tmp_path, "1.2")[:1], keys())
    assert found.volumes == []
    assert "not all of its 2 members are there" in dict(found.closed)["/dev/sda"]
