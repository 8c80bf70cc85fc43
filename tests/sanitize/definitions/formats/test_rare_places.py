"""Identities in places that are rare: each is renewed, or named; none stays without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import written
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition

if TYPE_CHECKING:
    from pathlib import Path

QEMU = "#!/bin/sh\nqemu-system-x86_64 -name golden -nic none {}\n"
LIBVIRT = "<domain type='kvm'><name>golden</name>{}</domain>"
PASSED = "<qemu:commandline xmlns:qemu='urn:q'><qemu:arg value='{}'/></qemu:commandline>"
VMX = 'virtualHW.version = "14"\ndisplayName = "golden"\n{}\n'
OVF = (
    '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"><VirtualSystem id="golden">'
    "<VirtualHardwareSection>{}</VirtualHardwareSection></VirtualSystem></Envelope>"
)
OVERRIDE = (
    "<qemu:override xmlns:qemu='urn:q'><qemu:device alias='d'><qemu:frontend>"
    "<qemu:property name='{}' type='string' value='{}'/>"
    "</qemu:frontend></qemu:device></qemu:override>"
)
KUBEVIRT = (
    "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: golden}\n"
    "spec:\n  template:\n    spec:\n      domain: {}\n      volumes:\n"
    "      - {name: a, {}}\n"
).replace("domain: {}", "domain: {cpu: {cores: 1}}")
INCUS = (
    "architecture: x86_64\nconfig:\n  volatile.uuid: 88888888-2222-4333-8444-555555555508\n"
    "  {}\ndevices: {root: {path: /, type: disk}}\nname: golden\ntype: virtual-machine\n"
).replace("devices: {root: {path: /, type: disk}}", "devices:\n  root:\n    path: /")
CLOUD_HYPERVISOR = (
    '{"payload":{"kernel":"/k"},"cpus":{"boot_vcpus":1,"max_vcpus":1},"disks":[],HERE}'
).replace("HERE", "{}")
VBOX = (
    (
        '<?xml version="1.0"?><VirtualBox xmlns="http://www.virtualbox.org/" version="1.19-linux">'
        '<Machine uuid="{{22222222-3333-4444-8555-666666666601}}" name="golden"><ExtraData>{}'
        "</ExtraData><Hardware/></Machine></VirtualBox>"
    )
    .replace("{{", "{")
    .replace("}}", "}")
)
HARDWARE = VBOX.replace("<ExtraData>{}</ExtraData><Hardware/>", "<Hardware>{}</Hardware>")
PROXMOX = "name: golden\nostype: l26\nscsihw: lsi\n{}\n"
CONFIG = '# qemu config file\n[machine]\n  type = "q35"\n{}\n'
UUID = "6695eb01-f6a4-4304-b9aa-97f2502e193f"
NGUID = "6b1d2e3f405162738495a6b7c8d9eafb"
RENEWED = {
    "nguid of a name space": (QEMU, f"-device nvme-ns,nguid={NGUID}", NGUID),
    "link to a terminal": (QEMU, "-chardev pty,id=a,path=/run/console", "/console\n"),
    "trace": (QEMU, "-trace events=/etc/ev,file=/var/log/trace", "file=/var/log/trace\n"),
    "card in an argument": (LIBVIRT, PASSED.format("e1000,mac=52:54:00:aa:bb:cc"), "aa:bb:cc"),
    "card in an argument in JSON": (
        LIBVIRT,
        PASSED.format('{"driver":"e1000","mac":"52:54:00:AA:BB:CC"}'),
        "AA:BB:CC",
    ),
    "first port of a switch": (
        QEMU,
        "-device rocker,name=sw,fp_start_macaddr=52:54:00:aa:bb:cc",
        "52:54:00:aa:bb:cc",
    ),
    "controller": (
        LIBVIRT,
        "<devices><controller type='nvme'><serial>NV-4711-0815</serial></controller></devices>",
        "4711",
    ),
    "name in a Fibre Channel fabric": (
        OVF,
        '<Config xmlns:v="urn:v" v:key="npivNodeWorldWideName" v:value="2807000c29000001"/>',
        "2807000c29000001",
    ),
    "property of a device": (
        LIBVIRT,
        OVERRIDE.format("serial", "QM-4711-0815"),
        "4711",
    ),
    "address in a property": (LIBVIRT, OVERRIDE.format("mac", "52:54:00:aa:bb:cc"), "aa:bb:cc"),
    "disk of VMware in an OVF": (
        OVF,
        '<ExtraConfig xmlns:v="urn:v" v:key="scsi0:0.serialNumber" v:value="VMD-4711-0815"/>',
        "4711",
    ),
    "serial number in a Config": (
        OVF,
        '<Config xmlns:v="urn:v" v:key="backing.serial" v:value="VMD-4711-0815"/>',
        "4711",
    ),
    "disk of VMware": (VMX, 'nvme0:0.serial = "VMWNVME-4711"', "4711"),
    "address for all": (QEMU, "-global virtio-net.mac=52:54:00:aa:bb:cc", "52:54:00:aa:bb:cc"),
    "serial number for all": (QEMU, "-global virtio-blk-pci.serial=QM-4711-08", "4711"),
    "number of a driver, in long": (
        QEMU,
        "-global driver=scsi-hd,property=wwn,value=0x5000c500deadbeef",
        "deadbeef",
    ),
    "serial number set later": (
        QEMU,
        "-device scsi-hd,id=d,drive=a -set device.d.serial=QM-4711-08",
        "4711",
    ),
    "path set later": (
        QEMU,
        "-chardev socket,id=c -set chardev.c.path=/run/console.sock",
        "/console.sock",
    ),
    "serial number for all in a file": (
        CONFIG,
        '[global]\n  driver = "scsi-hd"\n  property = "serial"\n  value = "QM-4711-08"',
        "4711",
    ),
    "serial number in an argument": (LIBVIRT, PASSED.format("type=3,serial=CH-4711-08"), "4711"),
    "UUID in an argument that is escaped": (
        LIBVIRT,
        PASSED.format("{{&quot;driver&quot;:&quot;nvdimm&quot;,&quot;uuid&quot;:&quot;{}&quot;}}")
        .replace("{{", "{")
        .replace("}}", "}")
        .replace("{}", UUID),
        UUID,
    ),
    "UUID as an argument": (LIBVIRT, PASSED.format(UUID), UUID),
    "set by libvirt": (LIBVIRT, PASSED.format("device.disk0.serial=QM-4711-08"), "4711"),
    "card in Proxmox' arguments": (
        PROXMOX,
        "args: -device e1000,mac=52:54:00:aa:bb:cc -vga none",
        "52:54:00:aa:bb:cc",
    ),
    "disk in Proxmox' arguments": (
        PROXMOX,
        "args: -set device.scsi0.serial=QM-4711-08 -vga none",
        "4711",
    ),
    "UUID in Proxmox' arguments": (PROXMOX, f"args: -uuid {UUID} -vga none", UUID),
    "each path in Proxmox' arguments": (
        PROXMOX,
        "args: -chardev socket,path=/a/golden.sock -chardev file,path=/b/golden.log",
        "golden",
    ),
    "card that Incus passes on": (INCUS, "raw.qemu: -device e1000,mac=10:66:6a:aa:bb:cc", "bb:cc"),
    "serial number that Incus passes on": (
        INCUS,
        'raw.qemu.conf: |-\n    [device "qemu_d"]\n    serial = "QM-4711-08"',
        "4711",
    ),
}
NAMED = {
    "address set later": (QEMU, "-set device.n.mac=52:54:00:aa:bb:cc", "52:54:00:aa:bb:cc"),
    "label in an argument": (LIBVIRT, PASSED.format("type=3,serial=CH-47"), "CH-47"),
    "WWN in an argument": (LIBVIRT, PASSED.format("scsi-hd,wwn=0x5000c500deadbeef"), "0x5000c5"),
    "ACPI table": (QEMU, "-acpitable sig=SLIC,file=/etc/slic.bin", "-acpitable"),
    "ACPI table of libvirt": (
        LIBVIRT,
        "<os><acpi><table type='slic'>/etc/slic.bin</table></acpi></os>",
        "/etc/slic.bin",
    ),
    "property of VirtualBox": (
        HARDWARE,
        '<GuestProperties><GuestProperty name="/acme/id" value="47"/></GuestProperties>',
        "/acme/id",
    ),
    "filter of NSX": (VMX, 'ethernet0.filter0.param1 = "port-47"', "port-47"),
    "device on USB": (VMX, 'usb:1.serial = "47"', "usb:1.serial"),
    "serial number of a disk of an OVF that is a label": (
        OVF,
        '<ExtraConfig xmlns:v="urn:v" v:key="scsi0:0.serialNumber" v:value="DSKSER-1"/>',
        "DSKSER-1",
    ),
    "asset tag in an OVF": (
        OVF,
        '<ExtraConfig xmlns:v="urn:v" v:key="SMBIOS.assettag" v:value="A-47"/>',
        "A-47",
    ),
    "unknown setting of an OVF": (
        OVF,
        '<Config xmlns:v="urn:v" v:key="acme.deviceId" v:value="D-47"/>',
        "D-47",
    ),
    "asset tag": (VMX, 'SMBIOS.assettag = "A-47"', "A-47"),
    "host of a device": (VMX, 'pciPassthru0.systemId = "5f9a-47"', "5f9a-47"),
    "UUID in a property": (
        LIBVIRT,
        OVERRIDE.format("wwn", "0x5000c500deadbeef"),
        "0x5000c500deadbeef",
    ),
    "number of a CXL device": (QEMU, "-device cxl-type3,sn=0x99887766", "0x99887766"),
    "security key": (QEMU, "-device canokey,file=/srv/keys", "/srv/keys"),
    "dump of memory": (KUBEVIRT, "memoryDump: {claimName: dump-pvc}", "dump-pvc"),
    "text for the guest": (INCUS, "smbios11.id: number-47", "smbios11.id"),
    "memory of the host": (CLOUD_HYPERVISOR, '"ivshmem":{"path":"/dev/shm/47"}', "/dev/shm/47"),
    "asset tag of VirtualBox": (
        VBOX,
        (
            '<ExtraDataItem name="VBoxInternal/Devices/pcbios/0/Config/DmiBoardAssetTag" '
            'value="A-47"/>'
        ),
        "A-47",
    ),
    "a Mac's ROM": (VMX, 'efi.nvram.var.ROM = "%A4%B1%C1%0D%2E%3F"', "%A4%B1%C1%0D%2E%3F"),
}


def defined(path: Path, text: str) -> tuple[str, str]:
    """The new definition, and the notes of the report."""
    path.write_text(text)
    plan = plan_definition(read_definition(path), IdentityMap(Counting(), "web-01"))
    return written(plan).decode(), "\n".join(note.text for note in plan.notes)


@pytest.mark.parametrize(("form", "more", "old"), RENEWED.values(), ids=RENEWED)
def test_is_renewed(tmp_path: Path, form: str, more: str, old: str) -> None:
    assert old in form.replace("{}", more)
    assert old not in defined(tmp_path / "golden", form.replace("{}", more))[0]


@pytest.mark.parametrize(("form", "more", "value"), NAMED.values(), ids=NAMED)
def test_is_named(tmp_path: Path, form: str, more: str, value: str) -> None:
    new, notes = defined(tmp_path / "golden", form.replace("{}", more))
    assert value in new
    assert value in notes


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (
            (
                "<qemu:commandline xmlns:qemu='urn:q'><qemu:env name='ACME_ID' value='hidden'/>"
                "</qemu:commandline>"
            ),
            "/domain/commandline/env/@value stays",
        ),
        ("<metadata><a:d xmlns:a='urn:a'>hidden</a:d></metadata>", "/domain/metadata/d stays"),
    ],
)
def test_is_named_and_not_shown(tmp_path: Path, more: str, place: str) -> None:
    notes = defined(tmp_path / "golden", LIBVIRT.format(more))[1]
    assert place in notes
    assert "hidden" not in notes


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("iscsi://user%hidden@host/iqn.2001-04.com.example/1", "iscsi://...@host/iqn"),
        ("rbd:pool/golden:id=x:key=hidden:conf=/c", "rbd:pool/golden:id=x:key=...:conf=/c"),
        ("https://user:hidden@host/golden.img", "https://...@host/golden.img"),
        ("ssh://user@host/golden.img", "ssh://user@host/golden.img"),
    ],
)
def test_what_opens_a_server_is_not_shown(tmp_path: Path, path: str, shown: str) -> None:
    notes = defined(tmp_path / "golden", QEMU.format(f"-drive file={path},if=virtio"))[1]
    assert f"{shown}" in notes
    assert "hidden" not in notes
