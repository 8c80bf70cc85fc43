"""VirtualBox machines: a .vbox file.

References: see sanitize/definitions/vbox/.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.image import shown
from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.beside import why_not_copied
from unclone.sanitize.definitions.companion import CopiedFile
from unclone.sanitize.definitions.definition import Active, Definition, Disk, Format
from unclone.sanitize.definitions.disks.patched import LeftToDo
from unclone.sanitize.definitions.disks.vdi import vdi_with_own_ids
from unclone.sanitize.definitions.disks.vmdk import DiskIds, vmdk_with_own_ids
from unclone.sanitize.definitions.vbox import rows
from unclone.sanitize.definitions.vbox.fields import disk_fields, machine_fields
from unclone.sanitize.definitions.vbox.media import Medium, media
from unclone.sanitize.definitions.xml_root import root_of
from unclone.sanitize.definitions.xml_text import read_xml
from unclone.sanitize.identities.uuids import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.companion import Companion
    from unclone.sanitize.definitions.renewal import Renewal
    from unclone.sanitize.definitions.source import Source
    from unclone.sanitize.definitions.xml_text import Element

#: UEFI variables alone, or the archive VirtualBox makes of them and a TPM's state.
NVRAM_SIGNATURES = ((40, b"_FVH"), (257, b"ustar"))
_QEMU_NAMES = {"VDI": "vdi", "VMDK": "vmdk", "VHD": "vpc", "QCOW": "qcow2", "RAW": "raw"}


def detects(head: bytes) -> bool:
    """Whether the first element is VirtualBox's."""
    return root_of(head) == "VirtualBox"


def read(source: Source) -> Definition:
    """The machine in *source*, with its snapshots. Raises RefusedError for an encrypted one."""
    root = read_xml(source)
    machine = root.first("Machine")
    if root.first("MachineEncrypted") is not None:
        raise RefusedError(
            f"{source.shown} is encrypted: its settings cannot be read",
            hint="Remove the encryption in VirtualBox first.",
        )
    if machine is None or not machine.get("name"):
        raise RefusedError(
            f"{source.shown} has no <Machine> with a name",
            hint="Name the machine's own .vbox file, not VirtualBox's settings.",
        )
    fields = [*machine_fields(source, machine), *disk_fields(source, machine)]
    known = media(machine)
    return Vbox(
        FORMAT,
        source,
        machine.get("name"),
        tuple(sorted(fields, key=lambda field: field.start)),
        tuple(_disks(known)),
        _activity(machine),
        tuple(_notes(source, machine, [f.value for f in fields if f.row is rows.NVRAM])),
        media=tuple(known.values()),
    )


@dataclass(frozen=True)
class Vbox(Definition):
    """A VirtualBox machine."""

    media: tuple[Medium, ...] = ()

    def companions(self, renewal: Renewal, output: Path) -> Sequence[Companion]:
        """The firmware's variables are copied; the header of a moved disk gets its new UUID."""
        return [*self._variables(renewal, output), *self._disk_ids(renewal, output)]

    def _variables(self, renewal: Renewal, output: Path) -> Iterator[Companion]:
        names = {
            renewed.field.value: renewed.new
            for renewed in renewal.fields
            if renewed.field.row is rows.NVRAM and renewed.new and renewed.changed
        }
        for old, new in names.items():
            if not why_not_copied(self.source.path, old, NVRAM_SIGNATURES):
                yield CopiedFile(self.source.path.parent / old, output.parent / new)

    def _disk_ids(self, renewal: Renewal, output: Path) -> Iterator[Companion]:
        moved = {
            renewed.field.label: (renewed.field.value, renewed.new)
            for renewed in renewal.fields
            if renewed.field.row is rows.DISK and renewed.changed and renewed.new
        }
        uuids = {
            renewed.field.disk: canonical_uuid(renewed.new or "")
            for renewed in renewal.fields
            if renewed.field.row is rows.DISK_UUID
        }
        for medium in self.media:
            if medium.label not in moved:
                continue
            old, new = moved[medium.label]
            parent = uuids.get(medium.parent, "") if medium.parent in moved else ""
            ids = DiskIds(
                uuids[medium.label],
                uuids[medium.label],
                _modification(uuids[medium.label]),
                parent,
                _modification(parent),
            )
            original, copy = self.source.path.parent / old, output.parent / new
            yield _with_own_ids(medium.element.get("format"), original, copy, ids)


FORMAT = Format("vbox", "VirtualBox .vbox", rows.ROWS, detects, read)


def _with_own_ids(kind: str, original: Path, copy: Path, ids: DiskIds) -> Companion:
    match kind.upper():
        case "VDI":
            return vdi_with_own_ids(original, copy, ids)
        case "VMDK":
            return vmdk_with_own_ids(original, copy, ids)
        case _:
            words = f"run VBoxManage internalcommands sethduuid {shown(copy)} {ids.image}"
            return LeftToDo(copy, words)


def _modification(image: str) -> str:
    """The UUID of a disk's state: made from its own, so that parent and child agree."""
    return str(uuid.uuid5(uuid.UUID(image), "modification")) if image else ""


def _disks(known: dict[str, Medium]) -> Iterator[Disk]:
    for medium in known.values():
        kind = medium.element.get("format").upper()
        path = medium.element.get("location")
        is_attached = medium.label != path
        if is_attached:
            yield Disk(medium.label, path, _QEMU_NAMES.get(kind, ""))


def _activity(machine: Element) -> Active | None:
    state = machine.get("stateFile")
    if state:
        return Active(f"{printable(state, 200)} holds its saved state", running=False)
    return None


def _notes(source: Source, machine: Element, names: Sequence[str]) -> Iterator[Note]:
    for name in dict.fromkeys(names):
        problem = why_not_copied(source.path, name, NVRAM_SIGNATURES)
        if problem:
            yield Note("nvram", Level.WARNING, problem)
    for element in machine.walk():
        if element.tag == "Snapshot":
            words = f"snapshot {element.get('name')}: copy its disks too, each with --disk"
            if state := element.get("stateFile"):
                words += f", and its saved state, {state}"
            yield Note("snapshot", Level.WARNING, words)
