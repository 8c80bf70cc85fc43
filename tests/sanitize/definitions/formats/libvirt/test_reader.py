"""libvirt domains: which file is one, which places are fields, and what the report says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from unclone.sanitize.definitions.formats.libvirt import FORMAT
from unclone.sanitize.definitions.formats.libvirt import reader as libvirt
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import DefinitionPlan

UUID = "6695eb01-f6a4-4304-b9aa-97f2502e193f"


def planned(devices: str, *, kind: str = "kvm", more: str = "") -> DefinitionPlan:
    text = (
        f"<domain type='{kind}'><name>golden</name><uuid>{UUID}</uuid>{more}"
        f"<devices>{devices}</devices></domain>"
    )
    definition = libvirt.read(Source(Path("golden.xml"), text.encode()))
    return plan_definition(definition, IdentityMap(Counting(), "web-01"))


def rules(plan: DefinitionPlan) -> dict[str, str | None]:
    """What became of each field but the name's and the UUID's."""
    found = {f.field.rule.id: f.new for f in plan.fields}
    return {rule: new for rule, new in found.items() if rule not in ("name", "uuid")}


@pytest.mark.parametrize(
    "head",
    [
        b"<domain>",
        b"<domain type='kvm'>",
        b"\n\t<domain/>",
        b"\xef\xbb\xbf<domain>",
        b"<?xml version='1.0'?>\n<!-- <x> -->\n<domain>",
        b"<!DOCTYPE domain [<!ENTITY a 'b'>]><domain>",  # so that it is refused with the reason
        b"<domainsnapshot>",
        b"<domstatus state='running'>",
        "<domain>".encode("utf-16"),
    ],
)
def test_domains_are_told_by_their_first_element(head: bytes) -> None:
    assert FORMAT.detects(head)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"domain",
        b"<domains>",
        b"<network><domain name='x'/></network>",
        b"<!-- <domain> --><network>",
        b"<VirtualBox xmlns='http://www.virtualbox.org/'>",
        b"<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1'>",
        b"<?xml <domain>",
        b"{}",
        b"\x7fELF<domain>",
    ],
)
def test_others_are_not(head: bytes) -> None:
    assert not FORMAT.detects(head)


@pytest.mark.parametrize(
    ("graphics", "changed"),
    [
        ("<graphics type='vnc' port='5900' autoport='yes'/>", {}),
        ("<graphics type='vnc' port='-1' autoport='yes'/>", {}),
        ("<graphics type='vnc' port='-1' autoport='no'/>", {}),
        ("<graphics type='vnc' port='5900'/>", {"graphics-port": "-1"}),
        (
            "<graphics type='vnc' port='5900' autoport='no'/>",
            {"graphics-port": "-1", "graphics-autoport": "yes"},
        ),
        ("<graphics type='spice' tlsPort='5901'/>", {"graphics-port": "-1"}),
        ("<graphics type='spice'/>", {}),
    ],
)
def test_fixed_ports_of_screens_are_freed(graphics: str, changed: dict[str, str]) -> None:
    assert rules(planned(graphics)) == changed


@pytest.mark.parametrize(
    ("device", "changed"),
    [
        ("<serial type='pty'><source path='/dev/pts/3'/></serial>", {}),
        (
            "<serial type='dev'><source path='/dev/ttyS0'/></serial>",
            {"character-device": "/dev/ttyS0"},
        ),
        (
            "<serial type='file'><source path='/var/log/golden.log'/></serial>",
            {"character-path": "/var/log/web-01.log"},
        ),
        (
            "<channel type='unix'><source path='/run/libvirt/qemu/channel/3-golden/a'/></channel>",
            {"channel-generated-path": None},
        ),
        ("<channel type='unix'><target type='virtio' name='a'/></channel>", {}),
        (
            "<console type='tcp'><source mode='connect' host='h' service='23'/></console>",
            {"character-peer": "23"},
        ),
        (
            "<console type='tcp'><source mode='bind' service='23'/></console>",
            {"character-port": "10025"},
        ),
        ("<vsock><cid auto='yes' address='3'/></vsock>", {}),
        ("<vsock><cid auto='yes'/></vsock>", {}),
        ("<vsock><cid auto='no' address='7'/></vsock>", {"vsock-cid": "4"}),
        ("<interface type='user'><target dev='vnet0'/></interface>", {"interface-target": None}),
        (
            "<interface type='ethernet'><target dev='tap7' managed='no'/></interface>",
            {"interface-made": "tap7"},
        ),
        (
            "<disk type='file'><source file='/srv/a.iso'/><readonly/></disk>",
            {"disk-shared": "/srv/a.iso"},
        ),
        (
            "<disk type='file'><source file='/srv/a'/><shareable/></disk>",
            {"disk-shared": "/srv/a"},
        ),
        (
            "<disk type='file'><backingStore><source file='/b'/></backingStore></disk>",
            {"disk-backing-file": "/b"},
        ),
    ],
)
def test_devices(device: str, changed: dict[str, str | None]) -> None:
    assert rules(planned(device)) == changed


@pytest.mark.parametrize(
    ("kind", "start"),
    [("kvm", "52:54:00"), ("qemu", "52:54:00"), ("xen", "00:16:3e"), ("lxc", "00:16:3e")],
)
def test_addresses_from_nowhere_become_the_hypervisor_s(kind: str, start: str) -> None:
    card = "<interface><mac address='00:11:22:33:44:55'/></interface>"
    assert rules(planned(card, kind=kind))["interface-mac"] == f"{start}:00:00:01"


def test_a_uuid_in_smbios_that_was_different_agrees_afterwards() -> None:
    system = "<sysinfo type='smbios'><system><entry name='uuid'>{}</entry></system></sysinfo>"
    plan = planned("", more=system.format("11111111-2222-4333-8444-555555555555"))
    assert plan.new_value("sysinfo-uuid") == plan.new_value("uuid") != UUID


def test_an_empty_generation_id_stays() -> None:
    assert rules(planned("", more="<genid/>")) == {}


def test_cards_without_an_address_are_named() -> None:
    plan = planned("<interface type='user'/><interface type='user'/>")
    words = "has no MAC address: libvirt chooses one when it is defined"
    cards = [f"/domain/devices/interface[{n}] {words}" for n in (1, 2)]
    assert [note.text for note in plan.notes] == cards


def test_labels_name_devices() -> None:
    definition = planned(
        "<disk><source file='/a'/><target dev='vda'/></disk>"
        "<interface><mac address='52:54:00:00:00:0a'/></interface>"
        "<interface><mac address='52:54:00:00:00:0b'/></interface>"
    ).definition
    labels = [f.label for f in definition.fields if f.rule.id in ("disk-source", "interface-mac")]
    assert labels == ["vda", "net0", "net1"]
    assert [(disk.label, disk.path) for disk in definition.disks] == [("vda", "/a")]


def test_the_copies_in_a_snapshot_have_a_scope() -> None:
    text = (
        "<domainsnapshot><name>s</name>"
        "<domain><name>a</name><devices><interface><mac address='52:54:00:00:00:0a'/></interface>"
        "</devices></domain><inactiveDomain><name>a</name></inactiveDomain></domainsnapshot>"
    )
    definition = libvirt.read(Source(Path("s.xml"), text.encode()))
    assert [(f.rule.id, f.scope) for f in definition.fields] == [
        ("name", "snapshot s, domain"),
        ("interface-mac", "snapshot s, domain"),
        ("name", "snapshot s, inactiveDomain"),
    ]
