"""Network cards that a seed takes from a VM definition, in every format."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.command import unclone
from tests.support.definitions import goldens
from unclone.images.errors import RefusedError
from unclone.runs.seed import Source, cards_of
from unclone.sanitize.definitions.formats.table import FORMATS, read_definition
from unclone.sanitize.identities.mac import parse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.definitions import Golden

DOMAIN = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web-01</name>
  <devices>
    <interface type='network'>
      <mac address='52:54:00:AA:BB:01'/>
      <source network='default'/>
    </interface>
    <hostdev><mac address='52:54:00:aa:bb:99'/></hostdev>
    <interface type='bridge'><mac address="52:54:00:aa:bb:02"/></interface>
  </devices>
</domain>
"""


def test_each_card_of_the_domain_in_order(tmp_path: Path) -> None:
    assert read(tmp_path, DOMAIN) == ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<domain><name>a</name><devices/></domain>", "no network card"),
        ("<network><mac address='52:54:00:aa:bb:01'/></network>", "not the definition"),
        ("<domain><name>a</name><devices><interface/></devices></domain>", "card 1 has no MAC"),
        ("<domain><devices>", "d.xml:1:18: is not valid XML"),
        ("not xml", "is not the definition"),
        ("", "is not the definition"),
        ('<!DOCTYPE d [<!ENTITY a "aaaa">]><domain>&a;</domain>', "document type"),
        ('<!DOCTYPE d SYSTEM "file:///etc/passwd"><domain/>', "document type"),
        ("#!/bin/sh\nqemu-system-x86_64 -nic none -m 1G\n", "no network card"),
        ('{"boot-source": {}, "drives": [], "network-interfaces": [{}]}', "card 1 has no MAC"),
        ('name = "a"\nvif = ["bridge=br0"]\ndisk = []\nmemory = 1\n', "card 1 has no MAC"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(tmp_path, text)
    assert words in caught.value.message
    assert "root:" not in caught.value.message


def read(folder: Path, text: str) -> list[str]:
    file = folder / "d.xml"
    file.write_text(text)
    return list(cards_of(str(file), Source()))


#: The cards of each golden definition, as its file has them; "" for those without an address.
CARDS = {
    "bhyve-line": ["58:9c:fc:01:02:03"],
    "bhyve-script": ["58:9c:fc:0a:3f:01"],
    "bhyve-uefi": ["fe:ed:ad:ea:df:15"],
    "cloud-hypervisor-api": ["12:34:56:78:90:ab"],
    "cloud-hypervisor-compact": ["2e:12:34:56:78:9a"],
    "cloud-hypervisor-kata": ["be:1c:5d:a6:3f:2c", "be:1c:5d:a6:3f:2d"],
    "firecracker-fleet": ["aa:fc:00:00:00:a7", "00:16:3e:2c:00:99"],
    "firecracker-getting-started": ["06:00:ac:10:00:02"],
    "firecracker-one-line": ["02:fc:00:00:00:05"],
    "incus-backup": ["00:16:3e:2c:00:99"],
    "incus-config-show": ["00:16:3e:5a:11:90", "10:66:6a:4c:8d:1f"],
    "incus-query": [],  # what is left of a device that it no longer has
    "incus-query-compact": [],
    "kubevirt-from-cluster": ["52:54:00:6b:3c:58", "02:00:00:00:12:34"],
    "kubevirt-kubectl-json": ["de:ad:00:00:be:af"],
    "kubevirt-several": [""],
    "libvirt-by-hand": [f"52:54:00:0a:0b:{number:02x}" for number in range(12, 19)],
    "libvirt-checkpoint": ["52:54:00:6b:3c:58"],
    "libvirt-external-snapshot": [],
    "libvirt-host": [
        *("52:54:00:11:22:33", "52:54:00:11:22:33", "52:54:00:11:22:44", "52:54:00:11:22:33"),
        "00:50:56:11:22:33",
    ],
    "libvirt-newer": ["52:54:00:00:aa:0a"],
    "libvirt-openstack": ["fa:16:3e:71:09:d2"],
    "libvirt-power": [],
    "libvirt-snapshot": ["52:54:00:6b:3c:58"],
    "libvirt-virt-manager": ["52:54:00:6b:3c:58"],
    "libvirt-xen": ["00:16:3e:5d:c7:9e"],
    "lxc-by-hand": ["00:16:3e:0b:4c:9d", "", ""],
    "lxc-download": ["00:16:3e:0b:4c:9d"],
    "lxc-old-names": ["4a:59:43:49:79:bf", "4a:59:43:49:79:c0"],
    "ova-pax": ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02"],
    "ova-vcloud": ["00:50:56:3a:44:10"],
    "ova-virtualbox": ["08:00:27:d1:f0:a3"],
    "ova-vmware": ["00:50:56:ae:3c:19"],
    "ovf-collection": ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02"],
    "ovf-ovirt": ["56:6f:1a:2c:00:07"],
    "ovf-virtualbox": ["08:00:27:d1:f0:a3"],
    "ovf-vmware": ["00:50:56:ae:3c:19"],
    "proxmox-cloud-init-template": ["02:00:00:12:34:56", ""],
    "proxmox-snapshots": ["52:54:00:aa:bb:01", "bc:24:11:00:aa:02"],
    "proxmox-uefi": ["bc:24:11:6c:1b:e8"],
    "qemu-by-hand": ["52:54:00:4b:73:5f", "52:54:00:4b:73:60"],
    "qemu-layers": [],
    "qemu-libvirt-like": ["52:54:00:9c:94:3b"],
    "qemu-one-line": ["de:ad:be:ef:00:01"],
    "qemu-variables": ["52:54:00:12:34:56"],
    "qemu-config-consoles": [],
    "qemu-config-q35": ["52:54:00:4b:73:5f"],
    "qemu-config-windows": ["de:ad:be:ef:00:01"],
    "vbox-by-hand": ["08:00:27:3b:7c:9d"],
    "vbox-linux-nat": ["08:00:27:d1:f0:a3", "08:00:27:d1:f0:a4"],
    "vbox-snapshots": ["08:00:27:5e:6f:70"],  # another is disabled
    "vm-bhyve-bsd": ["58:9c:fc:0b:11:22"],
    "vm-bhyve-uefi": ["58:9c:fc:0a:3f:01", "58:9c:fc:0a:3f:02"],
    "vm-bhyve-windows": ["58:9c:fc:0c:33:44"],
    "vmx-by-hand": ["02:aa:bb:0c:0d:0e", "00:0c:29:aa:00:01", ""],
    "vmx-esxi": ["00:50:56:ae:3c:19", "00:50:56:1a:2b:3c"],
    "vmx-vcenter": ["00:50:56:a0:11:22"],
    "vmx-workstation": ["00:0c:29:0b:6e:72"],
    "xen-hvm": ["00:16:3e:2c:00:99", "00:16:3e:2c:00:9a", ""],
    "xen-windows": [""],
    "xen-xen-tools": ["00:16:3e:ab:cd:ef"],
}
#: One of each format.
ONE_EACH = {golden.format: golden for golden in goldens() if all(CARDS[str(golden)] or [""])}


@pytest.mark.parametrize("golden", goldens(), ids=str)
def test_a_definition_of_any_format_has_its_cards_in_order(golden: Golden) -> None:
    cards = read_definition(golden.before).cards
    assert [str(parse(card.mac)) if card.mac else "" for card in cards] == CARDS[str(golden)]
    assert len({card.label for card in cards}) == len(cards)


@pytest.mark.parametrize("golden", ONE_EACH.values(), ids=ONE_EACH)
def test_the_command_takes_every_format(tmp_path: Path, golden: Golden) -> None:
    out = tmp_path / "seed"
    options = ["--hostname", "web-01", "--network-version", "2", "--format", "folder"]
    done = unclone("seed", *options, "--definition", golden.before, "--output", out)
    assert done.returncode == 0, done.stderr
    network = yaml.safe_load((out / "network-config").read_text())
    cards = {e["match"]["macaddress"]: e for e in network["ethernets"].values()}
    assert list(cards) == CARDS[str(golden)]
    assert all(card["dhcp4"] is True for card in cards.values())


def test_every_format_is_among_them() -> None:
    assert ONE_EACH.keys() == {each.id for each in FORMATS} - {"hyperv"}


def test_a_card_of_any_format_without_an_address_is_named(tmp_path: Path) -> None:
    file = tmp_path / "golden.vmx"
    file.write_text(
        '.encoding = "UTF-8"\nconfig.version = "8"\nvirtualHW.version = "19"\n'
        'displayName = "golden"\nethernet0.present = "TRUE"\n'
    )
    done = unclone("seed", "--hostname", "a", "--definition", file, "--output", tmp_path / "s.iso")
    assert done.returncode == 4
    assert "golden.vmx: card 1 has no MAC address" in done.stderr
    assert not (tmp_path / "s.iso").exists()


def test_a_definition_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(DOMAIN.encode())))
    assert cards_of("-", Source()) == ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02"]


def test_an_archive_in_a_pipe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = goldens("ova")[0].before.read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(RefusedError, match="not read from a pipe"):
        cards_of("-", Source())


def test_the_command_takes_them_and_a_hand_written_card_wins(tmp_path: Path) -> None:
    definition = tmp_path / "web-01.xml"
    definition.write_text(DOMAIN)
    out = tmp_path / "seed"
    options = ["--hostname", "web-01", "--definition", str(definition), "--network-version", "2"]
    nic = ["--nic", "mac=52:54:00:aa:bb:02,address=192.0.2.10/24"]
    done = unclone("seed", *options, *nic, "--format", "folder", "--output", out)
    assert done.returncode == 0, done.stderr
    network = yaml.safe_load((out / "network-config").read_text())
    cards = {e["match"]["macaddress"]: e for e in network["ethernets"].values()}
    assert cards["52:54:00:aa:bb:01"]["dhcp4"] is True
    assert cards["52:54:00:aa:bb:02"]["addresses"] == ["192.0.2.10/24"]
