"""The virtual machine that a definition describes, as far as it is known here.

Nothing of a definition's text is passed on: a bus, a chipset or a card is one of a list, a MAC
address and a UUID are checked. What is in no list is replaced, and said.

References: libvirt "Domain XML format": os, disks, interfaces, controllers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.boot.hardware import (
    CARDS,
    CONTROLLERS,
    CREDENTIAL,
    DISKS,
    Card,
    Chipset,
    Firmware,
    Hardware,
)
from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.definitions.text.xml_tree import read_xml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.sanitize.definitions.definition import Definition
    from unclone.sanitize.definitions.text.xml_tree import Element

_X86 = {"", "x86_64", "i686", "amd64"}


class Described(NamedTuple):
    """A machine, and what of its definition is not taken over."""

    hardware: Hardware
    notes: tuple[str, ...] = ()


def without_definition(guest: Guest, disks: int) -> Described:
    """Virtio disks, and the firmware that the disks can be started with."""
    return Described(Hardware(firmware=firmware_of(guest), disks=("virtio",) * disks))


def firmware_of(guest: Guest) -> Firmware:
    """UEFI where a boot loader for it is there: what BIOS starts from leaves no such sign."""
    programs = ("/boot/efi", "/efi", "/boot")
    loaders = (
        loader
        for folder in programs
        for loader in guest.glob(f"{folder}/[Ee][Ff][Ii]/*/*.[Ee][Ff][Ii]")
    )
    return "uefi" if next(iter(loaders), "") else "bios"


def from_definition(definition: Definition, images: Sequence[Path], guest: Guest) -> Described:
    """The machine of *definition* with *images* as its disks.

    Raises RefusedError for a processor that is not emulated here.
    """
    if definition.format.id == "libvirt":
        return _libvirt(definition, images, guest)
    notes: list[str] = []
    cards = tuple(_cards(((card.mac, "virtio") for card in definition.cards), notes))
    title = definition.format.title
    notes.append(f"only MAC addresses are taken from {title}: the rest is a machine with virtio")
    found = Hardware(firmware=firmware_of(guest), disks=("virtio",) * len(images), cards=cards)
    return Described(found, tuple(notes))


def _libvirt(definition: Definition, images: Sequence[Path], guest: Guest) -> Described:
    root = read_xml(definition.source)
    domain = next(e for e in root.walk() if e.tag in {"domain", "inactiveDomain"})
    notes: list[str] = []
    type_ = domain.first("os/type")
    if type_ is not None and type_.get("arch") not in _X86:
        raise RefusedError(
            f"{definition.source.shown} is for {printable(type_.get('arch'), 40)}, and only x86_64 "
            "is booted here"
        )
    machine = type_.get("machine") if type_ is not None else ""
    chipset: Chipset = "q35" if "q35" in machine or not machine else "pc"
    if machine and not re.fullmatch(r"(pc-)?(q35|i440fx)(-[a-z0-9.-]+)?|pc", machine):
        notes.append(f"machine type {printable(machine, 40)}: {chipset} instead")
    cards = (
        (_attribute(card, "mac", "address"), _attribute(card, "model", "type") or "virtio")
        for card in domain.find("devices/interface")
    )
    uuid = domain.first("uuid")
    value = uuid.value.strip().lower() if uuid is not None else ""
    return Described(
        Hardware(
            firmware=_firmware(domain, guest),
            chipset=chipset,
            disks=tuple(_buses(domain, images, chipset, notes)),
            controller=_controller(domain, notes),
            cards=tuple(_cards(cards, notes)),
            oem_strings=tuple(_credentials(domain)),
            uuid=value if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value) else "",
        ),
        tuple(notes),
    )


def _credentials(domain: Element) -> Iterator[str]:
    """The strings that give the guest a machine-id, where libvirt hands ``<sysinfo>`` on."""
    smbios = domain.first("os/smbios")
    if smbios is not None and smbios.get("mode") == "sysinfo":
        for entry in domain.find("sysinfo/oemStrings/entry"):
            if CREDENTIAL.fullmatch(entry.value.strip()):
                yield entry.value.strip()


def _firmware(domain: Element, guest: Guest) -> Firmware:
    """As ``<os firmware=...>`` or a pflash loader says; BIOS is what libvirt takes without them."""
    os_element, loader = domain.first("os"), domain.first("os/loader")
    if os_element is not None and os_element.get("firmware") in {"efi", "bios"}:
        return "uefi" if os_element.get("firmware") == "efi" else "bios"
    if loader is not None:
        return "uefi" if loader.get("type") == "pflash" or "OVMF" in loader.value else "bios"
    return "bios" if os_element is not None else firmware_of(guest)


def _buses(
    domain: Element, images: Sequence[Path], chipset: Chipset, notes: list[str]
) -> Iterator[str]:
    """The bus of each image: of the disk whose file it is, else of the disk at its place."""
    disks = [d for d in domain.find("devices/disk") if d.get("device", "disk") in {"disk", "lun"}]
    for number, image in enumerate(images):
        named = [
            d for d in disks if _attribute(d, "source", "file").rpartition("/")[2] == image.name
        ]
        disk = named[0] if len(named) == 1 else disks[number] if number < len(disks) else None
        bus = _attribute(disk, "target", "bus") if disk is not None else "virtio"
        if not bus and disk is not None:
            device = _attribute(disk, "target", "dev")
            bus = {"sd": "scsi", "hd": "ide"}.get(device[:2], "virtio")
        if bus not in DISKS:
            notes.append(f"disk bus {printable(bus, 40)}: virtio instead")
            bus = "virtio"
        yield "sata" if bus == "ide" and chipset == "q35" else bus


def _controller(domain: Element, notes: list[str]) -> str:
    models = [
        each.get("model")
        for each in domain.find("devices/controller")
        if each.get("type") == "scsi"
    ]
    model = models[0] if models and models[0] not in {"", "auto"} else "virtio-scsi"
    if model not in CONTROLLERS:
        notes.append(f"SCSI controller {printable(model, 40)}: virtio-scsi instead")
        return "virtio-scsi"
    return model


def _cards(found: Iterator[tuple[str, str]], notes: list[str]) -> Iterator[Card]:
    for spelled, model in found:
        mac = spelled.strip().lower().replace("-", ":")
        known = model if model in CARDS else "virtio"
        if known != model:
            notes.append(f"network card {printable(model, 40)}: virtio instead")
        try:
            yield Card(mac, known)
        except ValueError:
            notes.append(f"MAC address {printable(spelled, 40) or '(none)'}: no card for it")


def _attribute(element: Element, child: str, name: str) -> str:
    found = element.first(child)
    return found.get(name) if found is not None else ""
