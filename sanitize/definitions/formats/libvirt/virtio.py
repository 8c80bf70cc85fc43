"""Disks, network cards and balloon of a QEMU domain, moved to virtio.

References: libvirt "Domain XML format" (hard drives, network interfaces, memory balloon);
src/conf/domain_validate.c and src/qemu/qemu_validate.c (what a virtio disk must not have).
"""

from __future__ import annotations

import string
from itertools import chain
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Moved
from unclone.sanitize.definitions.text.splicing import Edit
from unclone.sanitize.definitions.text.xml_tree import with_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.xml_tree import Element

#: Buses that virtio replaces; disks on USB stay there.
BUSES = ("ide", "sata", "scsi", "sd")
#: What only disks on those buses may have.
_ONLY_THERE = ("wwn", "vendor", "product")
_QEMU_TYPES = ("kvm", "qemu", "hvf")
#: A virtio disk shows so many characters of its serial number to the guest.
SERIAL_LENGTH = 20
_STEP = "virtio"


def moved(source: Source, root: Element) -> Moved:
    """What changes. Raises RefusedError for a domain that QEMU does not run, and for a snapshot."""
    if root.tag != "domain" or root.get("type") not in _QEMU_TYPES:
        what = f"a domain of type {printable(root.get('type'), 40)}"
        raise RefusedError(
            f"{source.shown} is {what if root.tag == 'domain' else 'no domain'}: it cannot move to "
            "virtio",
            hint="--virtio is for the domains of QEMU and KVM, without their snapshots.",
        )
    edits: list[Edit] = []
    notes: list[Note] = []
    labels: dict[str, str] = {}
    taken = {target.get("dev") for target in root.find("devices/disk/target")}
    for disk in root.find("devices/disk"):
        target = disk.first("target")
        if target is None or not target.get("dev") or not _moves(root, disk, target):
            continue
        old, bus = target.get("dev"), target.get("bus")
        new = _free_name(old, taken)
        taken.add(new)
        labels[old] = new
        edits += _disk(source, disk, target, new)
        notes.append(_note(f"disk {old} ({bus or 'its bus by default'}) is now {new} (virtio)"))
        serial = disk.first("serial")
        if serial is not None and len(serial.value) > SERIAL_LENGTH:
            message = f"the guest sees {SERIAL_LENGTH} characters of the serial number of {new}"
            notes.append(Note(_STEP, Level.WARNING, message))
    for card in root.find("devices/interface"):
        if card.get("type") in ("hostdev", "vdpa", "vhostuser"):
            continue
        model = card.first("model")
        old = model.get("type") if model else ""
        if old.startswith("virtio"):
            continue
        edits.append(_model(source, card, model))
        message = f"network card {card.number} ({old or 'the default model'}) is now virtio"
        notes.append(_note(message))
    for balloon in root.find("devices/memballoon"):
        model_name = balloon.attributes.get("model")
        if model_name is not None and not model_name.value.startswith("virtio"):
            edits.append(Edit(model_name.start, model_name.end, "virtio"))
            notes.append(_note(f"the memory balloon ({model_name.value}) is now virtio"))
    return Moved(tuple(edits), tuple(notes), labels)


def _moves(root: Element, disk: Element, target: Element) -> bool:
    bus = target.get("bus")
    if disk.get("device", "disk") != "disk" or (bus and bus not in BUSES):
        return False
    controllers = root.find("devices/controller[@type='scsi']")
    if bus == "scsi" and any(c.get("model").startswith("virtio") for c in controllers):
        return False  # virtio-scsi is virtio already
    return bool(bus) or not target.get("dev").startswith("vd")


def _disk(source: Source, disk: Element, target: Element, new: str) -> Iterator[Edit]:
    dev, bus = target.attributes["dev"], target.attributes.get("bus")
    if bus is None:
        yield Edit(
            dev.start, dev.end, f"{new}{_quote(source, dev.end)} bus={_quoted(source, dev.end)}"
        )
    else:
        yield Edit(dev.start, dev.end, new)
        yield Edit(bus.start, bus.end, "virtio")
    for name in ("rotation_rate", "tray", "removable"):
        if found := target.attributes.get(name):
            yield Edit(*found.removal, "")
    addresses = disk.find("address[@type='drive']")
    for element in chain(addresses, *(disk.find(name) for name in _ONLY_THERE)):
        yield Edit(*with_line(source, element), "")


def _model(source: Source, card: Element, model: Element | None) -> Edit:
    if model is not None:
        found = model.attributes.get("type")
        if found is not None:
            return Edit(found.start, found.end, "virtio")
        return Edit(model.start + len("<model"), model.start + len("<model"), " type='virtio'")
    # After the last child that has to come before nothing: the order does not matter to libvirt.
    mac = card.first("mac")
    if mac is None and card.inner is None:
        raise RefusedError(
            f"{source.position(card.start)}: an empty network card", hint="Give it a source first."
        )
    at = mac.end if mac is not None else card.tag_end
    line = source.text.rfind("\n", 0, mac.start) + 1 if mac is not None else at
    indent = source.text[line : mac.start] if mac is not None else ""
    ending = "\r\n" if source.text[line - 2 : line] == "\r\n" else "\n"
    before = f"{ending}{indent}" if indent and not indent.strip() else ""
    return Edit(at, at, f"{before}<model type='virtio'/>")


def _quote(source: Source, at: int) -> str:
    return source.text[at]


def _quoted(source: Source, at: int) -> str:
    """The word virtio with its first quote: the last is the one that is at *at* already."""
    return f"{_quote(source, at)}virtio"


def _free_name(old: str, taken: set[str]) -> str:
    same = f"vd{old[2:]}"
    if len(old) > 2 and old[2:].isalpha() and same not in taken:
        return same
    letters = string.ascii_lowercase
    names = chain(letters, (a + b for a in letters for b in letters))
    return next(f"vd{name}" for name in names if f"vd{name}" not in taken)


def _note(text: str) -> Note:
    return Note(_STEP, Level.INFO, printable(text, 300))
