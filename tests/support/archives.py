"""OVAs and Vagrant boxes with a small guest."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

from tests.support.disks import BARE_ROOT, Part, make_disk

if TYPE_CHECKING:
    from pathlib import Path

OLD = "0123456789abcdef0123456789abcdef"
UUID = "aaaaaaaa-1111-4222-8333-bbbbbbbbbbbb"
MAC, MACHINE = "08:00:27:12:34:56", "7b2e1f9c-4c35-4a6e-9d10-a1b2c3d4e5f6"
TREE = {
    **BARE_ROOT,
    "/etc/machine-id": f"{OLD}\n",
    "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n",
    "/etc/udev/rules.d/70-persistent-net.rules": (
        f'SUBSYSTEM=="net", ATTR{{address}}=="{MAC}", NAME="eth0"\n'
    ),
    "/usr/lib/systemd/systemd": "ELF",
}
OVF = """<?xml version="1.0"?>
<Envelope ovf:version="1.0" xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
  xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
    <File ovf:id="file1" ovf:href="{disk}" ovf:size="{size}"/>
  </References>
  <DiskSection><Info>Disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="\
http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
      ovf:populatedSize="1"/>
  </DiskSection>
  <VirtualSystem ovf:id="golden"><Info>A machine</Info>
    <VirtualHardwareSection><Info>Hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>golden</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
      <Item><rasd:Address>{mac}</rasd:Address><rasd:InstanceID>7</rasd:InstanceID>
        <rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false" version="1.19-linux" uuid="{{{machine}}}" name="golden">
    </vbox:Machine>
  </VirtualSystem>
</Envelope>
"""
VMX = """config.version = "8"
displayName = "golden"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "disk.vmdk"
ethernet0.present = "TRUE"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:12:34:56"
uuid.bios = "56 4d 8f 0a 1c d7 3b 55-9e 60 72 31 44 55 66 77"
"""


def disk(folder: Path, variant: str = "streamOptimized") -> bytes:
    """A disk with a small guest, as a VMDK of the kind *variant* or as qcow2."""
    raw = make_disk(folder / "made.raw", [Part("ext4", uuid=UUID, tree=TREE)])
    made = folder / "made"
    vmdk = ["-O", "vmdk", "-o", f"subformat={variant},adapter_type=lsilogic,hwversion=10"]
    options = ["-O", "qcow2"] if variant == "qcow2" else vmdk
    subprocess.run(["qemu-img", "convert", *options, raw, made], check=True)
    content = made.read_bytes()
    raw.unlink()
    made.unlink()
    return content


def archive(
    path: Path, members: dict[str, bytes], *, mode: str = "w", folder: bool = False
) -> Path:
    """A tar archive with *members* in their order."""
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as tar:  # type: ignore[call-overload]
        if folder:
            entry = tarfile.TarInfo("./")
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o640, 1_600_000_000
            entry.uname = "builder"
            tar.addfile(entry, io.BytesIO(content))
    return path


def descriptor(content: bytes, name: str) -> bytes:
    text = OVF.format(
        disk=name, size=len(content), capacity=2**30, mac=MAC.replace(":", ""), machine=MACHINE
    )
    return text.replace(MAC.replace(":", ""), MAC).encode()


def ova(folder: Path, algorithm: str = "SHA256", further: dict[str, bytes] | None = None) -> Path:
    content = disk(folder)
    members = {"golden.ovf": descriptor(content, "golden-disk1.vmdk")}
    members["golden-disk1.vmdk"] = content
    lines = [
        f"{algorithm}({name})= {hashlib.new(algorithm, each).hexdigest()}\n"
        for name, each in members.items()
    ]
    members = {"golden.ovf": members["golden.ovf"], "golden.mf": "".join(lines).encode(), **members}
    return archive(folder / "golden.ova", {**members, **(further or {})})
