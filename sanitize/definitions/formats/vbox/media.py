"""The disks of a VirtualBox machine: its media registry, and where each one is attached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.sanitize.identities.uuids import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.sanitize.definitions.text.xml_tree import Element


@dataclass(frozen=True, slots=True)
class Medium:
    """A hard disk in the registry. ``parent`` is the label of the one it depends on, or ""."""

    element: Element
    label: str  # "SATA:0:0" where the machine has it attached, else its location
    parent: str


def media(machine: Element) -> dict[str, Medium]:
    """Every hard disk in the machine's registry, by the digits of its UUID, parents first."""
    attached = {hexadecimal(image.get("uuid")): label for label, image in attachments(machine)}
    found: dict[str, Medium] = {}
    registry = machine.first("MediaRegistry/HardDisks")
    for disk in registry.walk() if registry else ():
        if disk.tag != "HardDisk":
            continue
        above = disk.parent
        parent = found.get(hexadecimal(above.get("uuid"))) if above else None
        key = hexadecimal(disk.get("uuid"))
        label = attached.get(key) or disk.get("location")
        found.setdefault(key, Medium(disk, label, parent.label if parent else ""))
    return found


def attachments(context: Element) -> Iterator[tuple[str, Element]]:
    """Label and <Image> of each hard disk that a machine, or a snapshot, has attached."""
    for path in ("StorageControllers", "Hardware/StorageControllers"):
        for device in context.find(f"{path}/StorageController/AttachedDevice"):
            image = device.first("Image")
            if device.get("type") != "HardDisk" or image is None or device.parent is None:
                continue
            numbers = f"{device.get('port')}:{device.get('device')}"
            yield f"{device.parent.get('name')}:{numbers}", image
