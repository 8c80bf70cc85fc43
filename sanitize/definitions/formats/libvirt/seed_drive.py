"""A drive with a cloud-init seed, for a domain of QEMU that has none.

An empty CD drive gets the seed as its medium; else a drive is added where it moves no other
device: on the IDE or SATA controller that the chipset has anyway, or as a virtio disk where the
addresses of the network cards are written down.

References: libvirt "Domain XML format" (hard drives); src/conf/domain_conf.c
(virDomainDiskDefAssignAddress: which name of a disk is which place on its bus).
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.definitions.text.lines import line_ending
from unclone.sanitize.definitions.text.splicing import Edit

if TYPE_CHECKING:
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.xml_tree import Element

_QEMU_TYPES = ("kvm", "qemu", "hvf")
_X86 = ("", "x86_64", "i686")


class _Bus(NamedTuple):
    """A bus of the chipset: what its disks are called, and its places."""

    name: str
    prefix: str
    places: tuple[tuple[str, str, str], ...]  # controller, bus and unit, by the letter of the name


_IDE = _Bus("ide", "hd", (("0", "0", "0"), ("0", "0", "1"), ("0", "1", "0"), ("0", "1", "1")))
_SATA = _Bus("sata", "sd", tuple(("0", "0", str(unit)) for unit in range(6)))


def seed_drive(source: Source, root: Element, path: str) -> tuple[Edit, ...]:
    """What gives the domain a drive with the file *path*; nothing where no place is certain."""
    disks = list(root.find("devices/disk"))
    if root.tag != "domain" or root.get("type") not in _QEMU_TYPES or not disks:
        return ()
    for disk in disks:
        target = disk.first("target")
        if target is not None and _is_empty_drive(disk) and target.get("tray") != "open":
            text = f"<source file='{path}'/>{_break(source, target)}"
            return (Edit(target.start, target.start, text),)
    found = _place(root, disks)
    if found is None:
        return ()
    device, bus, name = found
    last = disks[-1]
    lines = (
        f"<disk type='file' device='{device}'>",
        "  <driver name='qemu' type='raw'/>",
        f"  <source file='{path}'/>",
        f"  <target dev='{name}' bus='{bus}'/>",
        "  <readonly/>",
        "</disk>",
    )
    between = _break(source, last)
    return (Edit(last.end, last.end, between + between.join(lines)),)


def _is_empty_drive(disk: Element) -> bool:
    kind = disk.get("device"), disk.get("type", "file")
    return kind == ("cdrom", "file") and disk.first("source") is None


def _place(root: Element, disks: list[Element]) -> tuple[str, str, str] | None:
    """The device, its bus and its name."""
    system = root.first("os/type")
    machine = system.get("machine") if system else ""
    names = {target.get("dev") for target in root.find("devices/disk/target")}
    if system is not None and system.get("arch") in _X86 and "microvm" not in machine:
        bus = _SATA if "q35" in machine else _IDE
        used = {_used(bus, disk) for disk in disks}
        for letter, place in zip(string.ascii_lowercase, bus.places, strict=False):
            if place not in used and bus.prefix + letter not in names:
                return "cdrom", bus.name, bus.prefix + letter
    if all(card.first("address[@type='pci']") for card in root.find("devices/interface")):
        free = (f"vd{letter}" for letter in string.ascii_lowercase)
        name = next((name for name in free if name not in names), "")
        return ("disk", "virtio", name) if name else None
    return None


def _used(bus: _Bus, disk: Element) -> tuple[str, str, str] | None:
    """The place that *disk* has on *bus*."""
    target, address = disk.first("target"), disk.first("address[@type='drive']")
    if target is None or target.get("bus", bus.name) != bus.name:
        return None
    if address is not None:
        return address.get("controller", "0"), address.get("bus", "0"), address.get("unit", "0")
    number = string.ascii_lowercase.find(target.get("dev")[2:3])
    return bus.places[number] if 0 <= number < len(bus.places) else None


def _break(source: Source, element: Element) -> str:
    """The end of a line and the indentation of *element*; "" where it does not begin its line."""
    start = source.text.rfind("\n", 0, element.start) + 1
    indent = source.text[start : element.start]
    return line_ending(source.text) + indent if start and not indent.strip() else ""
