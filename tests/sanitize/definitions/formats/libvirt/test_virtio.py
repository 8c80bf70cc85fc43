"""Moving a libvirt domain to virtio: what changes, what stays, and that libvirt takes it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.definitions import goldens
from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.libvirt import reader as libvirt
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import splice

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import Moved

BEFORE = """<domain type='kvm'>
  <name>golden</name>
  <uuid>6695eb01-f6a4-4304-b9aa-97f2502e193f</uuid>
  <memory unit='MiB'>512</memory>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/a.qcow2'/>
      <target dev='sda' bus='sata' rotation_rate='1'/> <!-- the system -->
      <serial>0123456789012345678901234</serial>
      <wwn>5000c50015ea71aa</wwn>
      <boot order='1'/>
      <address type='drive' controller='0' bus='0' target='0' unit='0'/>
    </disk>
    <disk type='file'><source file='/srv/b.img'/><target dev="hda"/></disk>
    <disk type='file'><source file='/srv/c.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'>
      <source file='/srv/d.img'/>
      <target dev='sdb' bus='scsi'/>
      <vendor>ACME</vendor>
      <product>DISK</product>
    </disk>
    <disk type='file'><source file='/srv/e.img'/><target dev='sdc' bus='usb' removable='on'/></disk>
    <disk type='file' device='cdrom'>
      <target dev='hdc' bus='ide'/>
      <readonly/>
      <address type='drive' controller='0' bus='1' target='0' unit='0'/>
    </disk>
    <interface type='user'>
      <mac address='52:54:00:6b:3c:58'/>
      <model type='e1000'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </interface>
    <interface type='user'>
      <mac address='52:54:00:6b:3c:59'/>
    </interface>
    <interface type='user'><mac address='52:54:00:6b:3c:5a'/><model type='virtio'/></interface>
    <memballoon model='none'/>
  </devices>
</domain>
"""
AFTER = """<domain type='kvm'>
  <name>golden</name>
  <uuid>6695eb01-f6a4-4304-b9aa-97f2502e193f</uuid>
  <memory unit='MiB'>512</memory>
  <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/srv/a.qcow2'/>
      <target dev='vdb' bus='virtio'/> <!-- the system -->
      <serial>0123456789012345678901234</serial>
      <boot order='1'/>
    </disk>
    <disk type='file'><source file='/srv/b.img'/><target dev="vdc" bus="virtio"/></disk>
    <disk type='file'><source file='/srv/c.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'>
      <source file='/srv/d.img'/>
      <target dev='vdd' bus='virtio'/>
    </disk>
    <disk type='file'><source file='/srv/e.img'/><target dev='sdc' bus='usb' removable='on'/></disk>
    <disk type='file' device='cdrom'>
      <target dev='hdc' bus='ide'/>
      <readonly/>
      <address type='drive' controller='0' bus='1' target='0' unit='0'/>
    </disk>
    <interface type='user'>
      <mac address='52:54:00:6b:3c:58'/>
      <model type='virtio'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>
    </interface>
    <interface type='user'>
      <mac address='52:54:00:6b:3c:59'/>
      <model type='virtio'/>
    </interface>
    <interface type='user'><mac address='52:54:00:6b:3c:5a'/><model type='virtio'/></interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def moved(text: str) -> tuple[str, Moved]:
    source = Source(Path("golden.xml"), text.encode())
    plan = libvirt.read(source).virtio()
    return splice(source.text, plan.edits), plan


def test_moves_disks_cards_and_balloon() -> None:
    text, plan = moved(BEFORE)
    assert text.splitlines() == AFTER.splitlines()
    assert plan.labels == {"sda": "vdb", "hda": "vdc", "sdb": "vdd"}
    assert [note.text for note in plan.notes if note.level == "warning"] == [
        "the guest sees 20 characters of the serial number of vdb"
    ]


def test_line_endings_stay() -> None:
    text, _ = moved(BEFORE.replace("\n", "\r\n"))
    assert text == AFTER.replace("\n", "\r\n")


def test_what_is_virtio_already_stays() -> None:
    text, plan = moved(AFTER)
    assert text == AFTER
    assert not plan.edits
    assert not plan.labels


def test_disks_on_virtio_scsi_stay() -> None:
    controller = "<controller type='scsi' index='0' model='virtio-scsi'/>"
    _, plan = moved(BEFORE.replace("<memballoon", f"{controller}<memballoon"))
    assert "sdb" not in plan.labels
    assert "sda" in plan.labels


def test_libvirt_takes_the_result(tmp_path: Path) -> None:
    file = tmp_path / "domain.xml"
    file.write_text(moved(BEFORE)[0])
    for argv in (
        ["virt-xml-validate", str(file)],
        ["virsh", "-c", "test:///default", "define", str(file)],
    ):
        done = subprocess.run(argv, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("name", ["xen", "snapshot"])
def test_what_qemu_does_not_run_is_refused(name: str) -> None:
    golden = next(each for each in goldens("libvirt") if name in str(each))
    with pytest.raises(RefusedError, match="virtio"):
        libvirt.read(Source(golden.before)).virtio()
