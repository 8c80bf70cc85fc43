"""The machine of a definition: what is in a list is taken over, anything else is not passed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import BARE_ROOT
from tests.support.tree import guest_at, plant
from unclone.images.boot.hardware import Card, Hardware
from unclone.images.errors import RefusedError
from unclone.runs.prove.hardware import Described, firmware_of, from_definition
from unclone.sanitize.definitions.formats.table import read_definition

if TYPE_CHECKING:
    from unclone.images.guest import Guest

DOMAIN = """\
<domain type='kvm'>
  <name>web-01</name>
  <uuid>7C1B0D3E-0000-4000-8000-0123456789AB</uuid>
  <os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='cdrom'><source file='/x.iso'/><target dev='sda' bus='sata'/></disk>
    <disk type='file'><source file='/vm/data.qcow2'/><target dev='sdb' bus='scsi'/></disk>
    <disk type='file'><source file='/vm/web-01.qcow2'/><target dev='sdc' bus='sata'/></disk>
    <controller type='scsi' model='lsilogic'/>
    <interface type='network'><mac address='52:54:00:AA:BB:01'/><model type='e1000'/></interface>
  </devices>
</domain>
"""


@pytest.fixture
def guest(tmp_path: Path) -> Guest:
    plant(tmp_path / "guest", BARE_ROOT)
    return guest_at(tmp_path / "guest")


def described(folder: Path, guest: Guest, text: str) -> Described:
    path = folder / "definition"
    path.write_text(text)
    return from_definition(read_definition(path), [Path("web-01.qcow2")], guest)


def test_a_libvirt_domain(tmp_path: Path, guest: Guest) -> None:
    found = described(tmp_path, guest, DOMAIN)
    card = Card("52:54:00:aa:bb:01", "e1000")
    uuid = "7c1b0d3e-0000-4000-8000-0123456789ab"
    assert found == Described(
        Hardware("uefi", "q35", ("sata",), "lsilogic", (card,), uuid),
    )


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("pc-q35-7.2", "q35,accel=kvm", "machine type q35,accel=kvm: q35 instead"),
        ("pc-q35-7.2", "x -chardev file,path=/etc/x", "machine type x -chardev"),
        ("sdc' bus='sata'", "sdc' bus='virtio,file=/etc/shadow'", "disk bus virtio,file"),
        ("lsilogic", "pvscsi,romfile=/etc/shadow", "SCSI controller"),
        ("type='e1000'", "type='e1000,romfile=/etc/shadow'", "network card e1000,romfile"),
        ("52:54:00:AA:BB:01", "52:54:00:AA:BB:01,id=x", "MAC address 52:54:00:AA:BB:01,id=x"),
        ("7C1B0D3E-0000-4000-8000-0123456789AB", "7C1B0D3E,x=y", ""),
    ],
)
def test_what_is_in_no_list_is_replaced_and_said(
    tmp_path: Path, guest: Guest, old: str, new: str, note: str
) -> None:
    assert old in DOMAIN
    found = described(tmp_path, guest, DOMAIN.replace(old, new))
    assert note in "\n".join(found.notes)
    hardware = found.hardware
    texts = [hardware.chipset, *hardware.disks, hardware.controller, hardware.uuid]
    texts += [text for card in hardware.cards for text in card.__getstate__()]  # type: ignore[attr-defined]  # a dataclass with slots
    assert [text for text in texts if "," in text or " " in text] == []


@pytest.mark.parametrize(
    ("os_element", "firmware", "chipset"),
    [
        ("<os><type machine='pc-i440fx-7.2'>hvm</type></os>", "bios", "pc"),
        ("<os><type>hvm</type></os>", "bios", "q35"),
        ("<os firmware='bios'><type machine='q35'>hvm</type></os>", "bios", "q35"),
        ("<os><type>hvm</type><loader type='pflash'>/x.fd</loader></os>", "uefi", "q35"),
    ],
)
def test_firmware_and_chipset(
    tmp_path: Path, guest: Guest, os_element: str, firmware: str, chipset: str
) -> None:
    start, end = DOMAIN.index("<os "), DOMAIN.index("</os>") + len("</os>")
    found = described(tmp_path, guest, DOMAIN[:start] + os_element + DOMAIN[end:])
    assert (found.hardware.firmware, found.hardware.chipset) == (firmware, chipset)


CREDENTIAL = f"io.systemd.credential:system.machine_id={'0123456789abcdef' * 2}"


@pytest.mark.parametrize(
    ("mode", "string", "taken"),
    [
        ("<smbios mode='sysinfo'/>", CREDENTIAL, (CREDENTIAL,)),
        ("<smbios mode='host'/>", CREDENTIAL, ()),  # libvirt hands none on
        ("<smbios mode='sysinfo'/>", f"{CREDENTIAL},path=/etc/shadow", ()),
        ("<smbios mode='sysinfo'/>", "io.systemd.credential:passwd.root=x", ()),
    ],
)
def test_a_machine_id_in_smbios(
    tmp_path: Path, guest: Guest, mode: str, string: str, taken: tuple[str, ...]
) -> None:
    strings = f"<sysinfo type='smbios'><oemStrings><entry>{string}</entry></oemStrings></sysinfo>"
    text = DOMAIN.replace("</os>", f"{mode}</os>{strings}")
    assert described(tmp_path, guest, text).hardware.oem_strings == taken


def test_another_processor_is_refused(tmp_path: Path, guest: Guest) -> None:
    with pytest.raises(RefusedError, match="is for aarch64"):
        described(tmp_path, guest, DOMAIN.replace("'x86_64'", "'aarch64'"))


def test_of_other_formats_only_the_mac_addresses_are_used(tmp_path: Path, guest: Guest) -> None:
    text = 'name = "web-01"\nmemory = 512\nvif = [ "mac=00:16:3e:00:00:01" ]\n'
    found = described(tmp_path, guest, f'{text}disk = [ "file:/vm/web-01.qcow2,xvda,w" ]\n')
    assert found.hardware == Hardware(cards=(Card("00:16:3e:00:00:01"),))
    assert "only MAC addresses" in found.notes[0]


@pytest.mark.parametrize(
    ("loader", "firmware"),
    [
        ("/boot/efi/EFI/BOOT/BOOTX64.EFI", "uefi"),
        ("/efi/EFI/systemd/systemd-bootx64.efi", "uefi"),
        ("/boot/efi/grub.cfg", "bios"),
    ],
)
def test_firmware_is_told_by_the_boot_loader(tmp_path: Path, loader: str, firmware: str) -> None:
    plant(tmp_path, {loader: ""})
    assert firmware_of(guest_at(tmp_path)) == firmware
