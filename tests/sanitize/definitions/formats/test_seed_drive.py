"""A drive for the seed, added to definitions that have none: where, and that nothing else moves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.qmp import Stopped
from unclone.sanitize.definitions.formats.table import definition_in, read_definition
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import Definition

SEED = "/srv/seed.iso"
FORMATS = ("libvirt", "qemu", "vmx", "proxmox")
DOMAIN = """<domain type='kvm'>
  <name>golden</name>
  <memory unit='MiB'>512</memory>
  <os><type arch='{arch}' machine='{machine}'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <source file='/srv/a.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    {more}
  </devices>
</domain>
"""


def with_drive(definition: Definition) -> str:
    return splice(definition.source.text, definition.seed_drive(SEED))


def read(text: str) -> Definition:
    return definition_in(Source(Path("golden"), text.encode()))


def domain(more: str = "", machine: str = "pc-q35-7.2", arch: str = "x86_64") -> str:
    return DOMAIN.format(more=more, machine=machine, arch=arch)


def target(name: str, bus: str, unit: str = "") -> str:
    address = f"<address type='drive' controller='0' bus='0' unit='{unit}'/>" if unit else ""
    return (
        f"<disk type='file' device='disk'><source file='/srv/{name}'/>"
        f"<target dev='{name}' bus='{bus}'/>{address}</disk>"
    )


def card(address: str = "") -> str:
    return f"<interface type='user'><mac address='52:54:00:6b:3c:58'/>{address}</interface>"


def seed_disks(text: str) -> list[tuple[str | None, str | None, str | None]]:
    """Device, bus and name of each disk that is the seed, if libvirt takes the domain."""
    found = []
    for disk in ET.fromstring(text).iter("disk"):
        source, where = disk.find("source"), disk.find("target")
        if source is not None and source.get("file") == SEED:
            assert where is not None
            assert disk.find("readonly") is not None
            found.append((disk.get("device"), where.get("bus"), where.get("dev")))
    return found


def of_formats() -> list[Golden]:
    return [golden for format_id in FORMATS for golden in goldens(format_id)]


@pytest.mark.parametrize("golden", of_formats(), ids=str)
def test_a_drive_more_and_nothing_else(golden: Golden) -> None:
    before = read_definition(golden.before, golden.format)
    text = with_drive(before)
    after = definition_in(Source(golden.before, before.source.encoded(text)), golden.format)
    seed = [disk for disk in after.disks if disk.path == SEED]
    assert [disk.path for disk in after.disks if disk.path != SEED] == [
        disk.path for disk in before.disks
    ]
    assert len(seed) == bool(before.seed_drive(SEED))
    assert all(disk.removable or disk.read_only for disk in seed)
    own = [(f.rule.id, f.value) for f in after.fields if f.value != SEED]
    assert own == [(f.rule.id, f.value) for f in before.fields]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (domain(), ("cdrom", "sata", "sda")),
        (domain(machine="pc-i440fx-7.2"), ("cdrom", "ide", "hda")),
        (domain(machine="pc", more=target("hda", "ide")), ("cdrom", "ide", "hdb")),
        (domain(more=target("sda", "sata")), ("cdrom", "sata", "sdb")),
        (domain(more=target("sda", "sata", unit="1")), ("cdrom", "sata", "sdc")),
        (domain(more=target("sda", "scsi")), ("cdrom", "sata", "sdb")),
        (
            domain(machine="pc", more="".join(target(f"hd{each}", "ide") for each in "abcd")),
            ("disk", "virtio", "vdb"),
        ),
        (domain(machine="virt", arch="aarch64"), ("disk", "virtio", "vdb")),
        (
            domain(
                machine="virt",
                arch="aarch64",
                more=card("<address type='pci' domain='0' bus='1' slot='0' function='0'/>"),
            ),
            ("disk", "virtio", "vdb"),
        ),
        (
            domain(
                machine="pc",
                more="<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>"
                "<target dev='hdc' bus='ide'/><readonly/></disk>",
            ),
            ("cdrom", "ide", "hdc"),
        ),
        (
            domain(
                more="<disk type='file' device='cdrom'><target dev='sda' bus='sata' tray='open'/>"
                "<readonly/></disk>"
            ),
            ("cdrom", "sata", "sdb"),
        ),
    ],
    ids=[
        *("q35", "i440fx", "ide-taken", "sata-taken", "sata-by-address", "scsi-by-name"),
        *("ide-full", "arm", "arm-with-card", "empty-drive", "open-tray"),
    ],
)
def test_a_libvirt_domain_gets_it_where_nothing_moves(
    text: str, place: tuple[str, str, str], tmp_path: Path
) -> None:
    after = with_drive(read(text))
    assert seed_disks(after) == [place]
    path = tmp_path / "after.xml"
    path.write_text(after)
    done = subprocess.run(
        ["virt-xml-validate", path], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        domain(machine="virt", arch="aarch64", more=card()),  # the new disk could take its slot
        domain(machine="microvm", more=card()),
        domain().replace("'kvm'", "'xen'"),
        "<domainsnapshot><name>s</name>" + domain() + "</domainsnapshot>",
    ],
    ids=["card-without-address", "microvm", "xen", "snapshot"],
)
def test_a_libvirt_domain_without_a_certain_place_gets_none(text: str) -> None:
    assert read(text).seed_drive(SEED) == ()


def test_the_new_drive_is_written_like_the_disks() -> None:
    after = with_drive(read(domain().replace("\n", "\r\n")))
    assert "\n" not in after.replace("\r\n", "")
    assert "\r\n    <disk type='file' device='cdrom'>\r\n      <driver name='qemu'" in after


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize(
    "disks",
    [
        "-drive file=a.raw,format=raw",
        "-hda a.raw -drive file=b.raw,format=raw",
        "-drive file=a.raw,format=raw,if=virtio -nodefaults",
        "-blockdev raw,node-name=d,file.driver=file,file.filename=a.raw -device virtio-blk,drive=d",
    ],
    ids=["ide", "two", "virtio", "blockdev"],
)
def test_qemu_has_the_seed_and_its_disks_where_they_were(
    tmp_path: Path, machine: str, disks: str
) -> None:
    for name in ("a.raw", "b.raw", "seed.iso"):
        (tmp_path / name).write_bytes(bytes(1 << 20))
    command = (
        f"exec qemu-system-x86_64 -S -accel tcg -display none -m 64 -machine {machine} \\\n"
        f"  {disks} \\\n  -nic user,mac=52:54:00:12:34:56 -qmp unix:q,server=on,wait=off\n"
    )
    definition = definition_in(Source(Path("golden.sh"), command.encode()))
    seen = []
    for text in (command, splice(command, definition.seed_drive("seed.iso"))):
        (tmp_path / "machine.sh").write_text(text)
        with Stopped(tmp_path, "machine.sh", "q") as qemu:
            blocks = qemu.ask("query-block")
        (tmp_path / "q").unlink(missing_ok=True)
        seen.append(
            {b["inserted"]["file"]: (b["qdev"], b["removable"]) for b in blocks if "inserted" in b}
        )
    place, removable = seen[1].pop("seed.iso")
    assert removable
    assert seen[1] == seen[0]
    assert place not in [qdev for qdev, _ in seen[0].values()]


@pytest.mark.parametrize(
    "command",
    [
        "qemu-system-x86_64 -hda a.raw -cdrom install.iso",
        "qemu-system-x86_64 -hda a.raw -hdc b.raw",
        "qemu-system-x86_64 -drive file=a -drive file=b -drive file=c",
        "qemu-system-x86_64 -device ide-hd,drive=d -drive if=none,id=d,file=a",
        "qemu-system-x86_64 -M microvm -drive file=a,if=none,id=d",
        "qemu-system-aarch64 -M virt -drive file=a,if=virtio",
        "qemu-system-ppc64 -drive file=a,if=virtio",
    ],
    ids=["cdrom", "hdc", "three", "ide-device", "microvm", "arm", "power"],
)
def test_a_command_line_without_a_certain_place_gets_none(command: str) -> None:
    assert read(command + "\n").seed_drive(SEED) == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: golden\nscsi0: local:a.qcow2\n", f"ide2: {SEED},media=cdrom"),
        ("name: g\nide2: none,media=cdrom\nscsi0: local:a\n", f"ide2: {SEED},media=cdrom"),
        ("name: g\nide2: local:x.iso,media=cdrom\nscsi0: a:b\n", f"ide3: {SEED},media=cdrom"),
        ("name: g\nide2: local:vm-1-cloudinit,media=cdrom\nscsi0: a:b\n", ""),
    ],
    ids=["added", "empty-drive", "ide2-taken", "proxmox-makes-one"],
)
def test_a_proxmox_machine(text: str, line: str) -> None:
    definition = definition_in(Source(Path("100.conf"), text.encode()), "proxmox")
    after = with_drive(definition)
    assert [each for each in after.splitlines() if SEED in each] == ([line] if line else [])


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("", "ide1:0"),
        ('ide1:0.present = "FALSE"\nsata0.present = "TRUE"\nsata0:1.present = "TRUE"\n', "sata0:2"),
        ('ide1:0.present = "TRUE"\n', ""),
    ],
    ids=["ide", "sata", "none"],
)
def test_a_vmware_machine(more: str, place: str) -> None:
    text = f'.encoding = "UTF-8"\nscsi0:0.fileName = "a.vmdk"\n{more}'
    definition = definition_in(Source(Path("golden.vmx"), text.encode()), "vmx")
    after = with_drive(definition)
    found = [each.partition(" = ") for each in after.splitlines() if each not in text]
    expected = [
        (f"{place}.present", " = ", '"TRUE"'),
        (f"{place}.deviceType", " = ", '"cdrom-image"'),
        (f"{place}.fileName", " = ", f'"{SEED}"'),
    ]
    assert found == (expected if place else [])
