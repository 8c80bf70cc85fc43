"""A machine-id that a definition gives its guest is renewed, whatever the format."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import NAME, written
from unclone.sanitize.change import Level
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.machine_ids import RULE, find
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.sanitize.definitions.definition import DefinitionPlan

OLD = "0123456789abcdef0123456789abcdef"
BASE64 = base64.b64encode(OLD.encode()).decode()

SMBIOS = f"io.systemd.credential:system.machine_id={OLD}"
BINARY = f"io.systemd.credential.binary:system.machine_id={BASE64}"
FW_CFG = "opt/io.systemd.credentials/system.machine_id"
ARGUMENTS = f"root=/dev/vda1 systemd.machine_id={OLD} quiet"


def domain(inside: str) -> str:
    start = "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    return f"{start}<name>golden</name>\n{inside}\n</domain>\n"


def command(arguments: str) -> str:
    variable = f"MID={OLD}\n" if "$MID" in arguments else ""
    return f"#!/bin/sh\n{variable}exec qemu-system-x86_64 -name golden -m 1G {arguments}\n"


def cloud_hypervisor(**more: object) -> str:
    payload = {"kernel": "/k", "cmdline": "ro"} | more.pop("payload", {})  # type: ignore[operator]
    cpus = {"boot_vcpus": 1, "max_vcpus": 1}
    return json.dumps({"cpus": cpus, "memory": {"size": 1}, "payload": payload, **more}, indent=1)


PROXMOX = "ostype: l26\nmemory: 4096\nname: golden\nscsi0: local-lvm:vm-100-disk-0,size=4G\n"
XEN = 'type = "hvm"\nname = "golden"\nmemory = 512\n'
VMX = (
    '.encoding = "UTF-8"\nconfig.version = "8"\nvirtualHW.version = "19"\ndisplayName = "golden"\n'
)
INCUS = "architecture: x86_64\nconfig:\n  image.os: Debian\n{}\ndevices: {{root: {{type: disk}}}}\n"
INCUS += "name: golden\ntype: virtual-machine\n"
FIRECRACKER = '{{"boot-source": {{"kernel_image_path": "/k", "boot_args": "{}"}}, "drives": []}}'

CASES = {
    "libvirt, OEM strings": (
        "a.xml",
        domain(
            f"<sysinfo type='smbios'><oemStrings><entry>{SMBIOS}</entry></oemStrings></sysinfo>"
        ),
    ),
    "libvirt, OEM strings in Base64": (
        "a.xml",
        domain(
            f"<sysinfo type='smbios'><oemStrings><entry>{BINARY}</entry></oemStrings></sysinfo>"
        ),
    ),
    "libvirt, fw_cfg": (
        "a.xml",
        domain(f"<sysinfo type='fwcfg'><entry name='{FW_CFG}'>{OLD}</entry></sysinfo>"),
    ),
    "libvirt, kernel arguments": ("a.xml", domain(f"<os><cmdline>{ARGUMENTS}</cmdline></os>")),
    "libvirt, QEMU's arguments": (
        "a.xml",
        domain(
            "<qemu:commandline><qemu:arg value='-smbios'/>"
            f"<qemu:arg value='type=11,value={SMBIOS}'/></qemu:commandline>"
        ),
    ),
    "qemu, SMBIOS": ("a.sh", command(f"-smbios type=11,value={SMBIOS}")),
    "qemu, SMBIOS in Base64": ("a.sh", command(f"-smbios 'type=11,value=x,value={BINARY}'")),
    "qemu, fw_cfg": ("a.sh", command(f"-fw_cfg name={FW_CFG},string={OLD}")),
    "qemu, fw_cfg, short": ("a.sh", command(f"-fw_cfg {FW_CFG},string={OLD}")),
    "qemu, fw_cfg, the other way round": ("a.sh", command(f"-fw_cfg string={OLD},name={FW_CFG}")),
    "qemu, a variable": ("a.sh", command(f"-fw_cfg name={FW_CFG},string=$MID")),
    "qemu, a variable in a string": (
        "a.sh",
        command('-smbios "type=11,value=io.systemd.credential:system.machine_id=$MID"'),
    ),
    "qemu, kernel arguments": ("a.sh", command(f"-kernel /k -append '{ARGUMENTS}'")),
    "qemu, a credential in kernel arguments": (
        "a.sh",
        command(f"-kernel /k -append 'ro systemd.set_credential=system.machine_id:{OLD}'"),
    ),
    "qemu configuration": (
        "a.cfg",
        f'[name]\n  guest = "golden"\n[fw_cfg]\n  name = "{FW_CFG}"\n  string = "{OLD}"\n',
    ),
    "proxmox": ("100.conf", f"args: -smbios type=11,value={SMBIOS}\n{PROXMOX}"),
    "proxmox, Base64": ("100.conf", f"args: -smbios type=11,value={BINARY}\n{PROXMOX}"),
    "cloud hypervisor": ("a.json", cloud_hypervisor(platform={"oem_strings": ["x", SMBIOS]})),
    "cloud hypervisor, kernel": ("a.json", cloud_hypervisor(payload={"cmdline": ARGUMENTS})),
    "firecracker": ("a.json", FIRECRACKER.format(ARGUMENTS)),
    "xen": ("a.cfg", f"{XEN}extra = '{ARGUMENTS}'\n"),
    "xen, device model": (
        "a.cfg",
        f"{XEN}device_model_args = ['-smbios', 'type=11,value={SMBIOS}']\n",
    ),
    "incus": ("a.yaml", INCUS.format(f"  systemd.credential.system.machine_id: {OLD}")),
    "incus, Base64": (
        "a.yaml",
        INCUS.format(f"  systemd.credential-binary.system.machine_id: '{BASE64}'"),
    ),
    "incus, QEMU's arguments": (
        "a.yaml",
        INCUS.format(f"  raw.qemu: -smbios type=11,value={SMBIOS}"),
    ),
    "vmx": ("a.vmx", f'{VMX}guestinfo.smbios = "{SMBIOS}"\n'),
}


def planned(folder: Path, name: str, text: str) -> DefinitionPlan:
    path = folder / name
    path.write_text(text)
    return plan_definition(read_definition(path), IdentityMap(Counting(), NAME))


@pytest.mark.parametrize(("name", "text"), CASES.values(), ids=CASES)
def test_it_is_renewed(tmp_path: Path, name: str, text: str) -> None:
    plan = planned(tmp_path, name, text)
    verify(plan)
    after = written(plan).decode()
    assert OLD not in after
    assert BASE64 not in after
    fields = {each.new or "" for each in plan.fields if each.field.rule is RULE}
    (new,) = fields or {one.value for one in find(after)}
    assert len(new) == 32
    line = text.replace(OLD, new).replace(BASE64, base64.b64encode(new.encode()).decode())
    same = [now == then for now, then in zip(after.splitlines(), line.splitlines(), strict=True)]
    assert same.count(False) <= 1  # the machine's name


def test_one_machine_has_one_id_wherever_it_is_said(tmp_path: Path) -> None:
    text = command(f"-smbios type=11,value={SMBIOS} -kernel /k -append '{ARGUMENTS}'")
    plan = planned(tmp_path, "a.sh", text)
    assert len({each.new for each in plan.fields if each.field.rule is RULE}) == 1


@pytest.mark.parametrize(
    "value",
    [
        "io.systemd.credential:system.machine_id=firmware",
        "io.systemd.credential.binary:system.machine_id=ZmlybXdhcmU=",
        f"io.systemd.credential:system.machine_id={OLD}00",
        f"io.systemd.credential:system.machine_id={'0' * 32}",
        f"io.systemd.credential:system.hostname={OLD}",
    ],
)
def test_what_is_no_id_stays(tmp_path: Path, value: str) -> None:
    plan = planned(tmp_path, "a.sh", command(f"-smbios type=11,value={value}"))
    assert value in written(plan).decode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.sh", command(f"-fw_cfg name={FW_CFG},file=/srv/id")),
        ("a.sh", command(f"-fw_cfg file=/srv/id,name={FW_CFG}")),
        (
            "a.xml",
            domain(f"<sysinfo type='fwcfg'><entry name='{FW_CFG}' file='/srv/i'/></sysinfo>"),
        ),
    ],
)
def test_a_file_of_the_host_is_named(tmp_path: Path, name: str, text: str) -> None:
    notes = [note for note in planned(tmp_path, name, text).notes if note.step == RULE.id]
    assert [note.level for note in notes] == [Level.WARNING]
    assert "from a file of the host" in notes[0].text


def test_what_stays_beside_it_is_said_and_not_shown(tmp_path: Path) -> None:
    arguments = f"root=UUID=6f1a2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b {ARGUMENTS}"
    plan = planned(tmp_path, "a.json", cloud_hypervisor(payload={"cmdline": arguments}))
    assert any("cmdline stays" in note.text for note in plan.notes)
    assert OLD not in "".join(note.text for note in plan.notes)
