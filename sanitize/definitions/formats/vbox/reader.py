"""VirtualBox machines: a .vbox file.

References: see rules.py.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable, shown
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.associated_files import CopiedFile
from unclone.sanitize.definitions.definition import Active, Definition, Disk, Leaf
from unclone.sanitize.definitions.disks.patching import ManualStep
from unclone.sanitize.definitions.disks.vdi import vdi_with_own_ids
from unclone.sanitize.definitions.disks.vmdk import DiskIds, vmdk_with_own_ids
from unclone.sanitize.definitions.firmware_variables import why_not_copied
from unclone.sanitize.definitions.formats.vbox import FORMAT, rules
from unclone.sanitize.definitions.formats.vbox.fields import (
    disk_fields,
    machine_cards,
    machine_fields,
)
from unclone.sanitize.definitions.formats.vbox.media import Medium, media
from unclone.sanitize.definitions.text.xml_tree import leaves, read_xml
from unclone.sanitize.identities.uuids import canonical_uuid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile
    from unclone.sanitize.definitions.definition import DefinitionPlan
    from unclone.sanitize.definitions.text.source import Source
    from unclone.sanitize.definitions.text.xml_tree import Element

#: UEFI variables alone, or the archive VirtualBox makes of them and a TPM's state.
NVRAM_SIGNATURES = ((40, b"_FVH"), (257, b"ustar"))
_QEMU_NAMES = {"VDI": "vdi", "VMDK": "vmdk", "VHD": "vpc", "QCOW": "qcow2", "RAW": "raw"}


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
        tuple(_notes(source, machine, [f.value for f in fields if f.rule is rules.NVRAM])),
        cards=tuple(machine_cards(machine)),
        media=tuple(known.values()),
        root=root,
    )


@dataclass(frozen=True)
class Vbox(Definition):
    """A VirtualBox machine."""

    media: tuple[Medium, ...] = ()
    root: Element | None = None

    def leaves(self) -> Iterator[Leaf]:
        """Every attribute and text."""
        return (Leaf(*each) for each in leaves(self.root)) if self.root else iter(())

    def associated_files(self, plan: DefinitionPlan, output: Path) -> Sequence[AssociatedFile]:
        """The firmware's variables are copied; the header of a moved disk gets its new UUID."""
        return [*self._variables(plan, output), *self._disk_ids(plan, output)]

    def _variables(self, plan: DefinitionPlan, output: Path) -> Iterator[AssociatedFile]:
        names = {
            planned.field.value: planned.new
            for planned in plan.fields
            if planned.field.rule is rules.NVRAM and planned.new and planned.changed
        }
        for old, new in names.items():
            if not why_not_copied(self.source.path, old, NVRAM_SIGNATURES):
                yield CopiedFile(self.source.path.parent / old, output.parent / new)

    def _disk_ids(self, plan: DefinitionPlan, output: Path) -> Iterator[AssociatedFile]:
        moved = {
            planned.field.label: (planned.field.value, planned.new)
            for planned in plan.fields
            if planned.field.rule is rules.DISK and planned.changed and planned.new
        }
        uuids = {
            planned.field.disk: canonical_uuid(planned.new or "")
            for planned in plan.fields
            if planned.field.rule is rules.DISK_UUID
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


def _with_own_ids(kind: str, original: Path, copy: Path, ids: DiskIds) -> AssociatedFile:
    match kind.upper():
        case "VDI":
            return vdi_with_own_ids(original, copy, ids)
        case "VMDK":
            return vmdk_with_own_ids(original, copy, ids)
        case _:
            message = f"run VBoxManage internalcommands sethduuid {shown(copy)} {ids.image}"
            return ManualStep(copy, message)


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
            message = f"snapshot {element.get('name')}: copy its disks too, each with --disk"
            if state := element.get("stateFile"):
                message += f", and its saved state, {state}"
            yield Note("snapshot", Level.WARNING, message)
