"""``unclone sanitize --definition``: one map of identities for the guest and its definition."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.direct import open_direct
from tests.support.disk_images import digest
from tests.support.disks import BARE_ROOT, Part, make_disk
from tests.support.templates import copy_sparse

if TYPE_CHECKING:
    from pathlib import Path

OLD = "52:54:00:0a:0b:0c"
UUID = "11111111-1111-4111-8111-111111111111"
NETPLAN = f"""network:
  ethernets:
    eth0:
      match: {{macaddress: "{OLD}"}}
      set-name: eth0
      dhcp4: true
"""
DOMAIN = """<domain type='kvm'>
  <name>golden</name>
  <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <memory unit='MiB'>512</memory>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    {disks}
    <interface type='network'>
      <mac address='52:54:00:0a:0b:0c'/><source network='default'/>
    </interface>
  </devices>
</domain>
"""
DISK = (
    "<disk type='file' device='disk'><driver name='qemu' type='{form}'/>"
    "<source file='{path}'/><target dev='{name}' bus='virtio'/></disk>"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tree = {
        **BARE_ROOT,
        "/etc/netplan/50-cloud-init.yaml": NETPLAN,
        "/etc/hostname": "golden\n",
        "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    }
    make_disk(tmp_path / "golden.raw", [Part("ext4", tree=tree, uuid=UUID)])
    define(tmp_path, "golden.raw")
    return tmp_path


def define(folder: Path, *disks: str) -> None:
    lines = [
        DISK.format(form="raw", path=folder / disk, name=f"vd{'abc'[number]}")
        for number, disk in enumerate(disks)
    ]
    (folder / "golden.xml").write_text(DOMAIN.format(disks="\n    ".join(lines)))


def netplan_of(image: Path) -> str:
    volumes = open_direct(image, read_only=True)
    try:
        volumes.mount("/dev/sda1", "/", subvolume="", read_only=True)
        return volumes.read("/etc/netplan/50-cloud-init.yaml", 4096).decode()
    finally:
        volumes.close()


def run(folder: Path, *arguments: str | Path, status: int = 0) -> str:
    done = unclone(
        *("sanitize", "--engine", "direct", *arguments),
        *("--definition", folder / "golden.xml", "--name", "web-01"),
        *("--definition-output", folder / "web-01.xml"),
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def addresses(text: str) -> list[str]:
    return re.findall(r"52:54:00(?::[0-9a-f]{2}){3}", text)


@pytest.mark.slow
def test_disks_and_definition_get_one_new_address(folder: Path) -> None:
    (result,) = json.loads(run(folder, "--json"))["results"]
    (mac,) = result["definition"]["macs"]
    assert mac["old"] == OLD != mac["new"]
    assert addresses((folder / "web-01.xml").read_text()) == [mac["new"]]
    assert addresses(netplan_of(folder / "golden.raw")) == [mac["new"]]
    assert result["definition"]["status"] == result["status"] == "done"
    assert "<name>web-01</name>" in (folder / "web-01.xml").read_text()


@pytest.mark.slow
def test_a_disk_that_is_changed_in_place_is_not_called_the_originals(folder: Path) -> None:
    """The advice was to give --disk, which this command does not have."""
    for arguments in ([], [folder / "golden.raw"]):
        (result,) = json.loads(run(folder, "--json", "--dry-run", *arguments))["results"]
        notes = [note["text"] for note in result["definition"]["notes"]]
        assert [text for text in notes if "still the source's" in text or "--disk" in text] == []


@pytest.mark.slow
def test_the_guest_keeps_its_host_name_unless_it_is_asked_for(folder: Path) -> None:
    for arguments, said in ([], True), (["--hostname", "web-01"], False):
        (result,) = json.loads(run(folder, "--json", "--dry-run", *arguments))["results"]
        notes = [note["text"] for note in result["definition"]["notes"]]
        text = "the host name in the guest is still golden: --hostname web-01 changes it"
        assert any(note.startswith(text) for note in notes) == said


@pytest.mark.slow
def test_the_new_definition_points_to_the_result(folder: Path) -> None:
    run(folder, folder / "golden.raw", "--output", folder / "web-01.raw")
    text = (folder / "web-01.xml").read_text()
    assert f"file='{folder / 'web-01.raw'}'" in text
    assert addresses(netplan_of(folder / "web-01.raw")) == addresses(text)
    assert addresses(netplan_of(folder / "golden.raw")) == [OLD]


@pytest.mark.slow
def test_a_copy_takes_the_place_of_the_disk(folder: Path) -> None:
    copy_sparse(folder / "golden.raw", folder / "copy.raw")
    run(folder, folder / "copy.raw")
    assert f"file='{folder / 'copy.raw'}'" in (folder / "web-01.xml").read_text()
    assert addresses(netplan_of(folder / "golden.raw")) == [OLD]


@pytest.mark.slow
def test_a_person_reads_where_it_is_and_which_address(folder: Path) -> None:
    said = run(folder)
    assert "definition of web-01 written:" in said
    assert str(folder / "web-01.xml") in "".join(said.split())  # a long path takes several lines
    assert f"MAC addresses  {OLD} -> 52:54:00:" in said
    assert said.count("MAC address 52:54:00:") == 0  # the new one is not kept


@pytest.mark.slow
def test_a_dry_run_writes_nothing(folder: Path) -> None:
    before = digest(folder / "golden.raw")
    (result,) = json.loads(run(folder, "--dry-run", "--json"))["results"]
    assert result["definition"]["status"] == result["status"] == "planned"
    assert not (folder / "web-01.xml").exists()
    assert digest(folder / "golden.raw") == before


def test_an_image_that_is_refused_leaves_no_definition(folder: Path) -> None:
    (folder / "broken.raw").write_bytes(b"\0" * 1024 * 1024)
    run(folder, folder / "broken.raw", status=4)
    assert not (folder / "web-01.xml").exists()


def test_a_definition_that_is_refused_leaves_the_image(folder: Path) -> None:
    before = digest(folder / "golden.raw")
    (folder / "golden.xml").write_text("<domain type='kvm'><name>golden</name>")
    run(folder, folder / "golden.raw", status=4)
    assert digest(folder / "golden.raw") == before


@pytest.mark.slow
def test_every_disk_is_asked_for(folder: Path) -> None:
    make_disk(folder / "data.raw", [Part("ext4", uuid=UUID.replace("1", "2"))])
    define(folder, "golden.raw", "data.raw")
    copy_sparse(folder / "golden.raw", folder / "copy.raw")
    said = run(folder, folder / "copy.raw", status=2)
    assert "has 2 disks, and 1 are given" in said
    assert "--add-disk" in said
    run(folder)
    assert addresses(netplan_of(folder / "golden.raw")) != [OLD]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--definition", "x"], "--definition needs --name"),
        ([], "Missing argument 'IMAGE...'"),
        (["a", "--definition-output", "x"], "--definition-output needs --definition"),
        (["a", "--ledger", "x"], "--ledger needs --definition"),
        (["a", "--avoid", "x"], "--avoid needs --definition"),
        (["a", "b", "--definition", "x", "--name", "n"], "--name is for exactly one image"),
        (["--definition", "x", "--name", "n", "--add-disk", "d"], "--add-disk needs IMAGE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_nonsense_is_a_usage_error(arguments: list[str], words: str) -> None:
    done = unclone("sanitize", *arguments)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.slow
def test_a_disk_that_is_named_by_its_serial_number_follows_the_definition(folder: Path) -> None:
    """Otherwise the clone's fstab names a disk that its new definition has not got."""
    define(folder, "golden.raw")
    domain = folder / "golden.xml"
    text = domain.read_text().replace("bus='virtio'/>", "bus='virtio'/><serial>ABC123XYZ7</serial>")
    domain.write_text(text)
    tree = {
        **BARE_ROOT,
        "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n"
        "/dev/disk/by-id/virtio-ABC123XYZ7-part2 /data ext4 defaults 0 2\n",
    }
    (folder / "golden.raw").unlink()
    make_disk(
        folder / "golden.raw", [Part("ext4", tree=tree, uuid=UUID), Part("ext4", tree={"/x": "x"})]
    )
    (result,) = json.loads(run(folder, "--json"))["results"]
    (serial,) = re.findall(r"<serial>(.*)</serial>", (folder / "web-01.xml").read_text())
    assert serial != "ABC123XYZ7"
    volumes = open_direct(folder / "golden.raw", read_only=True)
    try:
        volumes.mount("/dev/sda1", "/", subvolume="", read_only=True)
        fstab = volumes.read("/etc/fstab", 4096).decode()
    finally:
        volumes.close()
    assert f"/dev/disk/by-id/virtio-{serial}-part2 /data" in fstab
    assert [note for note in result["notes"] if "virtio-" in note["text"]] == []
