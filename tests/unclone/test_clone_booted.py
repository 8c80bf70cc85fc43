"""Two stamped machines boot, each with its definition and seed, and are who they should be.

One comes up by UEFI, one by BIOS; in both GRUB reads ext4 with a checksum seed.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests.guests import debian
from tests.support.command import unclone
from tests.support.qemu import boot_guest
from unclone.images.file_systems import ext_superblock
from unclone.sanitize.stamps.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.boot, pytest.mark.guest, pytest.mark.timeout(2400)]

BOOT_LIMIT = 1500  # seconds; a guest alone on two processors takes about 150
COUNT = 8  # so many are stamped
MAC = "52:54:00:aa:bb:cc"
DOMAIN = """\
<domain type='qemu'>
  <name>golden</name>
  <uuid>11111111-2222-4333-8444-555555555555</uuid>
  <memory>786432</memory>
  <os{firmware}><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{image}'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <source file='{folder}/golden-seed.iso'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
    <interface type='network'><mac address='{mac}'/><source network='default'/></interface>
  </devices>
</domain>
"""


@dataclass(frozen=True)
class Booted:
    """A machine: what its record says, and what it says itself."""

    record: Mapping[str, Any]
    domain: ET.Element
    prepared: Mapping[str, Any]
    facts: Mapping[str, str]

    def values(self, *kinds: str) -> set[str]:
        identifiers = self.record["machine"]["identifiers"]
        return {value for key, value in identifiers.items() if key.split()[0] in kinds}

    def seen(self, tag: str) -> set[str]:
        lines = [value for key, value in self.facts.items() if key.startswith("blkid-/dev/vda")]
        return {value for line in lines for value in re.findall(rf'\b{tag}="([^"]*)"', line)}


def made(folder: Path, variant: str) -> Path:
    """The first of some machines that are made from the guest *variant*."""
    golden, cache = folder / f"{variant}.qcow2", debian.cached(print, variant)
    command = ("qemu-img", "create", "-q", "-f", "qcow2", "-b", cache, "-F", "qcow2", golden)
    subprocess.run(command, check=True)
    definition = folder / f"{variant}.xml"
    firmware = " firmware='efi'" if variant == "uefi" else ""
    definition.write_text(DOMAIN.format(firmware=firmware, image=golden, folder=folder, mac=MAC))
    options = ("--name", f"{variant}-{{}}", "--count", str(COUNT), "--user", "ops")
    places = ("--definition", definition, "-o", folder / "vms", "--allow-dir", cache.parent)
    done = unclone("clone", golden, *options, *places)
    assert done.returncode == 0, done.stderr
    assert "by itself" not in done.stderr
    return folder / "vms" / f"{variant}-1"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Booted]:
    """Both machines, by variant."""
    folder = tmp_path_factory.mktemp("stamped")
    return {variant: started(folder, variant) for variant in ("uefi", "bios")}


def started(folder: Path, variant: str) -> Booted:
    """The machine of *variant*, which its definition describes, when it runs."""
    path = made(folder, variant)
    domain = ET.parse(path / "domain.xml").getroot()
    sources = [each.get("file", "") for each in domain.iter("source") if each.get("file")]
    mac, system = domain.find(".//mac"), domain.find("os")
    assert mac is not None
    assert system is not None
    said = boot_guest(
        Path(sources[0]),
        folder / f"boot-{variant}",
        BOOT_LIMIT,
        seed=Path(sources[1]),
        uuid=domain.findtext("uuid", ""),
        mac=mac.get("address", ""),
        firmware="uefi" if system.get("firmware") == "efi" else "bios",
    )
    record = json.loads((path / "machine.json").read_text())
    (prepared,) = folder.glob(f"{variant}.prepared-*.json")
    return Booted(record, domain, json.loads(prepared.read_text()), said.facts)


every = pytest.mark.parametrize("name", ["uefi", "bios"])


@every
def test_a_running_machine_is_who_its_record_says(booted: Mapping[str, Booted], name: str) -> None:
    guest = booted[name]
    machine, facts = guest.record["machine"], guest.facts
    new = {each["kind"]: each["new"] for each in machine["values"]}
    assert facts["hostname"] == machine["hostname"] == f"{name}-1"
    assert facts["instance-id"] == machine["instance_id"]
    assert facts["mac"] == new["mac"]
    # systemd takes it from the virtual machine's UUID, which is the definition's.
    assert facts["machine-id"] == new["uuid"].replace("-", "")
    assert {facts["root-uuid"]} <= guest.values("file-system-uuid")
    assert guest.seen("UUID") == guest.values("file-system-uuid", "vfat-serial", "swap-uuid")
    assert {facts["swap"].split()[0]} == guest.values("swap-uuid") == {facts["resume"]}
    if name == "uefi":
        assert {facts["disk"]} == {each.lower() for each in guest.values("disk-guid")}
        parts = {each.lower() for each in guest.values("partition-guid")}
        assert guest.seen("PARTUUID") == parts
    else:
        assert {facts["disk"]} == guest.values("mbr-disk-id")
    assert f"root=UUID={facts['root-uuid']}" in facts["cmdline"].split()


@every
def test_it_works(booted: Mapping[str, Booted], name: str) -> None:
    facts = booted[name].facts
    assert facts["failed-units"] == ""
    assert facts["sshd"] == "active"
    assert facts["root-options"].startswith("rw")
    assert facts["journal"] == facts["machine-id"]


@every
def test_grub_has_read_a_file_system_with_a_checksum_seed(
    booted: Mapping[str, Booted], name: str
) -> None:
    stamps = [Stamp.from_json(each) for each in booted[name].prepared["stamps"]]
    blocks = [block for stamp in stamps for block in stamp.blocks.values()]
    start, end = 1024, 1024 + ext_superblock.SIZE
    found = [ext_superblock.parse(block[start:end]) for block in blocks]
    assert any(
        each and each.s_feature_incompat & ext_superblock.INCOMPAT_CSUM_SEED for each in found
    )


def test_they_differ_in_all_of_it(booted: Mapping[str, Booted]) -> None:
    first, second = booted["uefi"].facts, booted["bios"].facts
    keys = {key for key in first if key.startswith("host-key-")}
    assert keys == {key for key in second if key.startswith("host-key-")}
    assert keys
    told = {"machine-id", "hostname", "instance-id", "root-uuid", "disk", "swap", "mac"}
    assert [key for key in sorted(told | keys) if first[key] == second[key]] == []
    for tag in ("UUID", "PARTUUID"):
        assert not booted["uefi"].seen(tag) & booted["bios"].seen(tag)
