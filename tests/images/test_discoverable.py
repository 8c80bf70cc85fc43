"""What systemd mounts by the types of partitions, and when it does not."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.disks import BARE_ROOT
from tests.support.forest import ForestVolumes
from unclone.images.discoverable import disk_of, var_partition_uuid
from unclone.images.layout_inspection import inspect_layout
from unclone.images.process import run
from unclone.images.volumes import FileSystem, Volumes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from unclone.images.layout import Layout

ID = "0123456789abcdef0123456789abcdef"
VAR = "4d21b016-b534-45c2-a9fb-5c16e091fd2d"
HOME = "933ac7e1-2eb4-4f13-b844-0e14e2aef915"
XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
USR_ARM64 = "b0e01050-ee5f-4390-949a-9101b17104e9"
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
GENERATORS = "/usr/lib/systemd/system-generators"

ROOT = FileSystem("/dev/sda2", "ext4")
EMPTY: Mapping[str, str | bytes | None] = {
    **BARE_ROOT,
    **dict.fromkeys(("/boot", "/efi", "/home", "/srv", "/var")),
    "/etc/machine-id": f"{ID}\n",
}


def part(
    number: int, kind: str, fs: str = "ext4", *, disk: str = "sda", **more: object
) -> FileSystem:
    made = FileSystem(f"/dev/{disk}{number}", fs, partition_type=kind)
    return replace(made, **more)  # type: ignore[arg-type]


def inspect(folder: Path, tree: Mapping[str, str | bytes | None], *parts: FileSystem) -> Layout:
    forest = ForestVolumes(folder)
    forest.add(ROOT, tree)
    for each in parts:
        forest.add(each, {"/x": "x"} if each.type == "ext4" else {})
    return inspect_layout(cast("Volumes", forest))


def mounted(layout: Layout) -> dict[str, str]:
    return {m.mount_point: m.device for m in layout.mounts_in_order[1:]}


def test_the_guid_of_a_var_partition_is_the_hmac_of_the_type() -> None:
    key = ["dgst", "-sha256", "-mac", "hmac", "-macopt", f"hexkey:{ID}", "-binary"]
    digest = run(["openssl", *key], stdin=uuid.UUID(VAR).bytes).stdout
    made = uuid.UUID(var_partition_uuid(ID))
    # All but the six bits that say which kind of UUID it is.
    variable = ~(0xF000 << 64 | 0xC000 << 48)
    assert made.int & variable == uuid.UUID(bytes=digest[:16]).int & variable
    assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_every_type_is_mounted_at_its_place(tmp_path: Path) -> None:
    parts = [
        part(3, VAR, partition_uuid=var_partition_uuid(ID).upper()),
        part(4, HOME),
        part(5, "3b8f8425-20e0-4f3b-907f-1a25a76f98e8"),
        part(6, "7ec6f557-3bc5-4aca-b293-16ef5df639d1"),
        part(7, XBOOTLDR, "vfat"),
        part(8, ESP, "vfat"),
    ]
    layout = inspect(tmp_path, EMPTY, *parts)
    assert mounted(layout) == {
        "/boot": "/dev/sda7",
        "/efi": "/dev/sda8",
        "/home": "/dev/sda4",
        "/srv": "/dev/sda5",
        "/var": "/dev/sda3",
        "/var/tmp": "/dev/sda6",
    }
    assert layout.var_partitions == (parts[0],)


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    tree = {name: text for name, text in EMPTY.items() if name not in {"/efi", "/home", "/boot"}}
    layout = inspect(tmp_path, tree, part(3, HOME), part(4, ESP, "vfat"))
    assert mounted(layout) == {"/efi": "/dev/sda4", "/home": "/dev/sda3"}
    missing = [text.split(" of ")[0] for text in layout.warnings if "does not exist" in text]
    assert sorted(missing) == ["the mount point /efi", "the mount point /home"]


def test_the_newest_usr_is_mounted_where_the_root_has_none(tmp_path: Path) -> None:
    tree = {"/etc/os-release": "-> ../usr/lib/os-release", "/usr": None}
    usr = [part(n, USR_ARM64, partition_label=f"os_{v}") for n, v in ((3, 9), (4, 10), (5, 2))]
    assert mounted(inspect(tmp_path, tree, *usr)) == {"/usr": "/dev/sda4"}


def test_a_usr_under_dm_verity_is_only_read(tmp_path: Path) -> None:
    tree = {"/etc/os-release": "-> ../usr/lib/os-release", "/usr": None}
    usr, hashes = part(3, USR_ARM64), part(4, "", "DM_verity_hash")
    assert inspect(tmp_path, tree, usr, hashes).hashed == {"/usr"}


@pytest.mark.parametrize(
    ("change", "tree", "why"),
    [
        pytest.param({"partition_attributes": 1 << 63}, {}, "no-auto attribute", id="no-auto"),
        pytest.param({}, {"/home/x": "x"}, "root's own /home is not empty", id="not empty"),
        pytest.param({}, {"/home": "-> srv"}, "root's own /home is not empty", id="link"),
        pytest.param({"device": "/dev/sdb3"}, {}, "", id="another disk"),
        pytest.param({}, {"/etc/fstab": "/dev/sda9 /home ext4 nofail 0 2\n"}, "", id="in fstab"),
        pytest.param({}, {f"{GENERATORS}/systemd-fstab-generator": "x"}, "", id="not installed"),
        pytest.param(
            {},
            {"/etc/systemd/system-generators/systemd-gpt-auto-generator": "-> /dev/null"},
            "",
            id="masked",
        ),
    ],
)
def test_what_systemd_does_not_mount_is_not_looked_at(
    tmp_path: Path,
    change: Mapping[str, object],
    tree: Mapping[str, str | bytes | None],
    why: str,
) -> None:
    home = replace(part(3, HOME), **change)  # type: ignore[arg-type]
    root = {name: text for name, text in EMPTY.items() if not name.startswith("/home")}
    layout = inspect(tmp_path, {**root, **tree}, home)
    assert "/home" not in mounted(layout)
    (warning,) = [text for text in layout.warnings if home.device in text]
    assert "no file on it is looked at or changed" in warning
    assert why in warning


@pytest.mark.parametrize("bit", [60, 59])
def test_attributes_that_say_how_it_is_mounted_do_not_prevent_it(tmp_path: Path, bit: int) -> None:
    home = part(3, HOME, partition_attributes=1 << bit)
    assert mounted(inspect(tmp_path, EMPTY, home)) == {"/home": "/dev/sda3"}


@pytest.mark.parametrize(
    ("text", "guid", "is_mounted"),
    [
        (f"{ID}\n", var_partition_uuid(ID), True),
        (f"{ID}\n", str(uuid.UUID(int=1)), False),
        ("", str(uuid.UUID(int=1)), True),
        ("uninitialized\n", str(uuid.UUID(int=1)), True),
    ],
)
def test_a_var_partition_belongs_to_one_machine_id(
    tmp_path: Path, text: str, guid: str, *, is_mounted: bool
) -> None:
    var = part(3, VAR, partition_uuid=guid)
    layout = inspect(tmp_path, {**EMPTY, "/etc/machine-id": text}, var)
    assert ("/var" in mounted(layout)) is is_mounted
    assert any("not made from the machine-id" in each for each in layout.warnings) != is_mounted
    assert layout.var_partitions == (var,)


def test_the_first_of_two_counts(tmp_path: Path) -> None:
    layout = inspect(tmp_path, EMPTY, part(3, HOME), part(4, HOME))
    assert mounted(layout) == {"/home": "/dev/sda3"}
    assert any("another partition is /home" in warning for warning in layout.warnings)


def test_what_is_inside_an_opened_container_is_mounted(tmp_path: Path) -> None:
    inside = FileSystem("/dev/mapper/luks-1234", "ext4")
    layout = inspect(tmp_path, EMPTY, part(3, HOME, "crypto_LUKS", uuid="1234"), inside)
    assert mounted(layout) == {"/home": inside.device}


def test_the_disk_below_a_root() -> None:
    volume, array = FileSystem("/dev/vg/root", "ext4"), FileSystem("/dev/md127", "ext4")
    member = FileSystem("/dev/sdb1", "LVM2_member")
    disks = [FileSystem(f"/dev/sd{name}3", "linux_raid_member") for name in "ab"]
    assert disk_of("/dev/sda2", ()) == disk_of("/dev/sda", ()) == "/dev/sda"
    assert disk_of(volume.device, [volume, member]) == "/dev/sdb"
    assert disk_of(volume.device, [volume, member, replace(member, device="/dev/sda9")]) == ""
    assert disk_of(array.device, [array, disks[0]]) == "/dev/sda"
    assert disk_of(array.device, [array, *disks]) == ""


def test_containers_inside_of_each_other_are_on_one_disk() -> None:
    partition = FileSystem("/dev/sda2", "LVM2_member")
    locked = FileSystem("/dev/vg/locked", "crypto_LUKS", uuid="1234")
    unlocked = FileSystem("/dev/mapper/luks-1234", "LVM2_member")
    nested = [FileSystem(f"/dev/vg/{number}", "LVM2_member") for number in range(50)]
    assert disk_of("/dev/inner/root", [partition, locked, unlocked, *nested]) == "/dev/sda"
    assert disk_of("/dev/inner/root", [locked, unlocked, *nested]) == ""
