"""Guests without fstab, whose partitions are mounted by their types: on real images."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.disk_images import digest
from tests.support.disks import (
    BARE_ROOT,
    ESP,
    MIB,
    Part,
    make_disk,
    make_file_system,
)
from tests.support.templates import copy_into
from unclone.images.discoverable import var_partition_uuid
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"
NEW_ID = "fedcba9876543210fedcba9876543210"
GUID = var_partition_uuid(ID)
VAR = "4D21B016-B534-45C2-A9FB-5C16E091FD2D"
HOME = "933AC7E1-2EB4-4F13-B844-0E14E2AEF915"
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
ATTRIBUTES = "GUID:59,60"
ENTRY = "title a\nlinux /l\noptions root=/dev/vda2 rw{}\n"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{ID}\n",
    "/usr/lib/systemd/systemd": "ELF",
    "/efi": None,
    "/home": None,
    "/var": None,
}


def guest(
    folder: Path,
    tree: Mapping[str, str | bytes | None] = {},
    arguments: str = "",
    guid: str = GUID,
) -> Path:
    """An ESP, a root, /var with a stale machine-id and a reference to itself, and /home."""
    var: dict[str, str | bytes | None] = {
        "/lib/dbus/machine-id": f"{ID}\n",
        "/lib/systemd/random-seed": b"x" * 32,
    }
    entry = {"/loader/entries/a.conf": ENTRY.format(arguments)}
    parts = [
        Part("vfat", gpt_type=ESP, tree=entry),
        Part("ext4", gpt_type=ROOT, tree={**TREE, **tree}),
        Part("ext4", gpt_type=VAR, gpt_uuid=guid, tree=var, gpt_attributes=ATTRIBUTES),
        Part("ext4", gpt_type=HOME, tree={"/u/.config/x": "x"}),
    ]
    return make_disk(folder / "disk.raw", parts)


def result(image: Path, *options: str | Path) -> dict[str, Any]:
    done = unclone("sanitize", "--json", *options, image)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["results"]
    return dict(found)


def var_of(image: Path) -> Mapping[str, str]:
    """The partition as sfdisk sees it."""
    table = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]
    (var,) = (entry for entry in table["partitions"] if entry["type"] == VAR)
    return dict(var)


def machine_id(image: Path) -> str:
    found = json.loads(unclone("inspect", "--json", image).stdout)["results"][0]
    (etc,) = (m for m in found["inventory"]["machine_ids"] if m["path"] == "/etc/machine-id")
    return str(etc["id"])


ENGINES = ["direct", pytest.param("guestfs", marks=pytest.mark.appliance)]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_var_stays_the_machines_own(tmp_path: Path, engine: str) -> None:
    image = guest(tmp_path)
    found = result(image, "--engine", engine)
    new = machine_id(image)
    assert new not in {"", ID}
    assert var_of(image)["uuid"].lower() == var_partition_uuid(new) != GUID
    assert var_of(image)["attrs"] == ATTRIBUTES
    removed = {c["target"] for c in found["changes"] if c["action"] == "remove"}
    assert {"/var/lib/dbus/machine-id", "/var/lib/systemd/random-seed"} <= removed
    mounts = {m["mount_point"]: m["device"] for m in found["guest"]["mounts"]}
    assert mounts["/var"] == "/dev/sda3"
    assert mounts["/home"] == "/dev/sda4"
    assert found["residue"] == []


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", None])
def test_a_guest_without_an_id_is_given_one(tmp_path: Path, text: str | None) -> None:
    image = guest(tmp_path, {"/etc/machine-id": text} if text is not None else {})
    if text is None:  # the file is not there at all
        run(["debugfs", "-w", "-R", "rm /etc/machine-id", f"{image}?offset={41 * 1024 * 1024}"])
    result(image)
    assert var_of(image)["uuid"].lower() == var_partition_uuid(machine_id(image))


@pytest.mark.slow
def test_the_id_that_is_asked_for_counts(tmp_path: Path) -> None:
    image = guest(tmp_path)
    result(image, "--machine-id", NEW_ID)
    assert var_of(image)["uuid"].lower() == var_partition_uuid(NEW_ID)


@pytest.mark.slow
def test_references_to_the_partition_follow(tmp_path: Path) -> None:
    unit = "/etc/systemd/system/scrub.service"
    image = guest(tmp_path, {unit: f"[Service]\nExecStart=/x /dev/disk/by-partuuid/{GUID}\n"})
    found = result(image)
    assert [c["action"] for c in found["changes"] if c["target"] == unit] == ["replace-identifiers"]


@pytest.mark.slow
def test_a_dry_run_and_its_saved_plan_give_what_the_run_gives(tmp_path: Path) -> None:
    image, plan = guest(tmp_path), tmp_path / "plan"
    shown = result(image, "--dry-run")
    new = {c["target"]: c["new"] for c in shown["changes"] if c["step"] == "partition-guid"}
    assert new["/dev/sda3"] == "(random)"
    planned = result(image, "--dry-run", "--save-plan", plan)
    (wanted,) = (c["new"] for c in planned["changes"] if c["target"] == "/etc/machine-id")
    result(image, "--plan", plan)
    assert machine_id(image) == wanted
    assert var_of(image)["uuid"].lower() == var_partition_uuid(wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--machine-id", "empty"], "start without its /var"),
        (["--machine-id", "remove"], "start without its /var"),
        (["--machine-id", "uninitialized"], "start without its /var"),
        (["--uuids", "keep"], "not the partition GUID of /dev/sda3"),
        (["--disable", "partition-guid"], "not the partition GUID of /dev/sda3"),
    ],
)
def test_what_would_lose_var_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    image = guest(tmp_path)
    before = digest(image)
    for more in ([], ["--dry-run"]):
        done = unclone("sanitize", *options, *more, image)
        assert done.returncode == 4
        assert words in " ".join(done.stderr.split())
    assert digest(image) == before


@pytest.mark.slow
def test_a_machine_id_that_stays_keeps_the_guid(tmp_path: Path) -> None:
    image = guest(tmp_path)
    found = result(image, "--disable", "machine-id")
    assert var_of(image)["uuid"].lower() == GUID
    assert any("made from the machine-id, which stays" in note["text"] for note in found["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tree", "arguments", "guid"),
    [
        pytest.param({"/etc/fstab": f"PARTUUID={GUID} /var ext4 rw 0 2\n"}, "", GUID, id="fstab"),
        pytest.param({}, " systemd.gpt_auto=0", GUID, id="discovery is off"),
        pytest.param({}, "", "0b6c1f22-7c3c-4b8c-9a53-5c9c2d3f6a10", id="another machine's"),
        pytest.param({"/sbin/openrc": "x", "/sbin/init": "x"}, "", GUID, id="no systemd"),
    ],
)
def test_where_var_does_not_depend_on_the_id_none_is_given(
    tmp_path: Path, tree: Mapping[str, str | bytes | None], arguments: str, guid: str
) -> None:
    image = guest(tmp_path, tree, arguments, guid)
    result(image)
    assert machine_id(image) == ""
    assert var_of(image)["uuid"].lower() not in {GUID, guid}


@pytest.mark.slow
def test_an_image_that_waits_for_its_first_boot_is_warned_about(tmp_path: Path) -> None:
    image = guest(tmp_path, {"/etc/machine-id": "uninitialized\n"})
    found = result(image)
    (note,) = (n for n in found["notes"] if "stays `uninitialized`" in n["text"])
    assert note["level"] == "warning"
    assert "the guest starts without it" in note["text"]


@pytest.mark.slow
def test_a_usr_under_dm_verity_still_matches_its_hashes(tmp_path: Path) -> None:
    content, hashes = tmp_path / "usr.img", tmp_path / "hashes.img"
    usr_tree = {"/lib/systemd/systemd": "ELF", "/lib/os-release": "ID=debian\n", "/bin/x": "x"}
    make_file_system(content, Part("ext4", tree=usr_tree))
    hashes.touch()
    told = run(["veritysetup", "format", content, hashes]).stdout.decode()
    (root_hash,) = re.findall(r"^Root hash:\s+(\w+)$", told, re.MULTILINE)
    guids = [str(uuid.UUID(half)) for half in (root_hash[:32], root_hash[32:])]
    root = {
        **{path: text for path, text in TREE.items() if not path.startswith("/usr")},
        "/etc/os-release": "-> ../usr/lib/os-release",
        "/usr": None,
    }
    entry = {"/loader/entries/a.conf": ENTRY.format(f" usrhash={root_hash}")}
    image = make_disk(
        tmp_path / "disk.raw",
        [
            Part("vfat", gpt_type=ESP, tree=entry),
            Part("ext4", gpt_type=ROOT, tree=root),
            Part("ext4", gpt_type=VAR, gpt_uuid=GUID, tree={"/lib/dbus/machine-id": f"{ID}\n"}),
            Part("", gpt_type="8484680C-9521-48C6-9C11-B0720656F69E", gpt_uuid=guids[0], size=24),
            Part("", gpt_type="77FF5F63-E7B6-4633-ACF4-1565B864C0E6", gpt_uuid=guids[1]),
        ],
    )
    start = (2 + 40 + 24 + 24 - 1) * MIB
    copy_into(content, image, start)
    copy_into(hashes, image, start + 24 * MIB)
    found = result(image, "--engine", "direct")
    assert {m["mount_point"] for m in found["guest"]["mounts"]} == {"/", "/efi", "/usr", "/var"}
    run(["dd", f"if={image}", f"of={content}", "bs=1M", f"skip={start // MIB}", "count=24"])
    run(["dd", f"if={image}", f"of={hashes}", "bs=1M", f"skip={start // MIB + 24}", "count=8"])
    run(["veritysetup", "verify", content, hashes, root_hash])
    table = json.loads(run(["sfdisk", "--json", image]).stdout)["partitiontable"]
    now = [entry["uuid"].lower() for entry in table["partitions"]]
    assert now[3:] == guids
    assert now[2] == var_partition_uuid(machine_id(image)) != GUID


@pytest.mark.slow
def test_a_partition_that_is_var_only_when_the_roots_own_is_emptied_stays_so(
    tmp_path: Path,
) -> None:
    image = guest(tmp_path, {"/var/x": "x"})
    found = result(image)
    assert "/var" not in {m["mount_point"] for m in found["guest"]["mounts"]}
    assert any("the root's own /var is not empty" in text for text in found["warnings"])
    assert var_of(image)["uuid"].lower() == var_partition_uuid(machine_id(image)) != GUID
    result(image, "--machine-id", "empty")  # nothing is lost by it
    assert machine_id(image) == ""
