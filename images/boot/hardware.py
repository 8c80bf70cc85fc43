"""The virtual machine that a guest is booted in: names from fixed lists, whatever a file says.

References: QEMU system/invocation; libvirt "Domain XML format" for the names of models.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Firmware = Literal["bios", "uefi"]
Chipset = Literal["q35", "pc"]

#: Disk buses, by the name that definitions give them: QEMU's controller, and the disk on it.
DISKS: Mapping[str, tuple[str, str]] = {
    "virtio": ("", "virtio-blk-pci"),
    "scsi": ("virtio-scsi-pci", "scsi-hd"),
    "sata": ("ich9-ahci", "ide-hd"),
    "ide": ("", "ide-hd"),
    "nvme": ("", "nvme"),
}

#: SCSI controllers, by libvirt's names, and QEMU's.
CONTROLLERS: Mapping[str, str] = {
    "virtio-scsi": "virtio-scsi-pci",
    "lsilogic": "lsi53c895a",
    "lsisas1068": "mptsas1068",
    "lsisas1078": "megasas",
    "vmpvscsi": "pvscsi",
}

#: Network cards, by libvirt's names, and QEMU's.
CARDS: Mapping[str, str] = {
    "virtio": "virtio-net-pci",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "rtl8139": "rtl8139",
    "pcnet": "pcnet",
    "vmxnet3": "vmxnet3",
    "ne2k_pci": "ne2k_pci",
}

_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
#: What systemd takes for the guest's machine-id (systemd.system-credentials(7)).
CREDENTIAL = re.compile(
    r"io\.systemd\.credential(\.binary)?:system\.machine_id=[A-Za-z0-9+/=-]{32,64}"
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: More cards and disks than this have no place on the buses here.
MAX_CARDS = 8
MAX_DISKS = {"ide": 4, "sata": 5, "scsi": 6, "virtio": 16, "nvme": 8}


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: *mac* in lower case with colons, *model* one of :data:`CARDS`."""

    mac: str
    model: str = "virtio"

    def __post_init__(self) -> None:
        if not _MAC.fullmatch(self.mac):
            raise ValueError(f"no unicast MAC address: {self.mac!r}")
        if self.model not in CARDS:
            raise ValueError(f"no network card: {self.model!r}")


@dataclass(frozen=True, slots=True)
class Hardware:
    """A virtual machine for ``len(disks)`` disks. Raises ValueError for what is in no list."""

    firmware: Firmware = "bios"
    chipset: Chipset = "q35"
    disks: tuple[str, ...] = ("virtio",)  # the bus of each, one of DISKS
    controller: str = "virtio-scsi"
    cards: tuple[Card, ...] = ()
    uuid: str = ""
    oem_strings: tuple[str, ...] = ()  # SMBIOS type 11; only CREDENTIAL
    memory: int = 1024  # MiB

    def __post_init__(self) -> None:
        if self.firmware not in {"bios", "uefi"} or self.chipset not in {"q35", "pc"}:
            raise ValueError(f"no machine: {self.firmware!r}, {self.chipset!r}")
        if unknown := set(self.disks) - DISKS.keys():
            raise ValueError(f"no disk bus: {sorted(unknown)!r}")
        if self.controller not in CONTROLLERS:
            raise ValueError(f"no SCSI controller: {self.controller!r}")
        for bus in set(self.disks):
            if self.disks.count(bus) > MAX_DISKS[bus]:
                raise ValueError(f"more than {MAX_DISKS[bus]} disks on {bus}")
        if len(self.cards) > MAX_CARDS:
            raise ValueError(f"more than {MAX_CARDS} network cards")
        if self.uuid and not _UUID.fullmatch(self.uuid):
            raise ValueError(f"no UUID: {self.uuid!r}")
        for string in self.oem_strings:
            if not CREDENTIAL.fullmatch(string):
                raise ValueError(f"no machine-id: {string!r}")
