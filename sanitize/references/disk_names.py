"""Names that udev makes of the serial numbers and World Wide Names that a definition gives disks.

A definition's disks get new serial numbers. With the definition given, what names a disk by the
old one follows; without, ``clone_readiness`` says that it counts on the definition.

References: systemd, rules.d/60-persistent-storage.rules.in; Linux drivers/block/virtio_blk.c
(``VIRTIO_BLK_ID_BYTES``); QEMU hw/scsi/scsi-disk.c ("QEMU HARDDISK"), hw/ide/core.c,
hw/nvme/ctrl.c ("QEMU NVMe Ctrl"); VirtualBox manual, "Configuring the Hard Disk Vendor Product
Data".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note, Retired, StepPlan
from unclone.sanitize.renewal import OtherKind, Renewal
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.sanitize.renewal import Blocker
    from unclone.sanitize.step import PlanningContext

#: The maker's part of the name: of SCSI, SATA and USB disks, and of NVMe.
_MODELS = ("QEMU_HARDDISK", "QEMU_NVMe_Ctrl", "VBOX_HARDDISK")
#: A virtio disk shows so many characters of its serial number.
_VIRTIO_LENGTH = 20
#: What udev keeps of a name; anything else it replaces.
_KEPT = re.compile(r"[A-Za-z0-9#+.:=@_-]+")
_WWN = re.compile(r"(?:0x)?([0-9a-f]{16})", re.IGNORECASE)


class DiskNames:
    """The step that owns the names: other references rewrite them where they are."""

    info = StepInfo(
        id="disk-names",
        title="disks named by their serial number",
        why="with a new serial number in the definition a disk has another name in /dev/disk/by-id",
        sources=(
            "https://github.com/systemd/systemd: rules.d/60-persistent-storage.rules.in",
            "https://libvirt.org/formatdomain.html",
        ),
    )

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:  # noqa: ARG002
        """None."""
        return ()

    def plan(self, context: PlanningContext) -> StepPlan:
        """What has to be found nowhere afterwards, and what cannot follow."""
        renewals = context.renewals
        return StepPlan(
            notes=tuple(
                Note(
                    self.info.id,
                    Level.KEPT,
                    f"the disk name {printable(each.renewal.old, 80)} is kept, and the definition "
                    f"gives that disk another serial number: {each.why}. {each.lift}".rstrip(),
                )
                for each in renewals.kept
                if each.renewal.kind is OtherKind.DISK_NAME
            ),
            retired=tuple(
                Retired(self.info.id, each.kind.value, each.old)
                for each in renewals.renewed
                if each.kind is OtherKind.DISK_NAME
            ),
        )


def renewals(serials: Mapping[str, str]) -> tuple[Renewal, ...]:
    """The names of disks with *serials*, old to new: each that a hypervisor's disk may have."""
    names = dict(pair for old, new in serials.items() for pair in _names(old, new))
    return tuple(
        Renewal(OtherKind.DISK_NAME, "", old, new)
        for old, new in names.items()
        if old != new and len(old) == len(new)
    )


def _names(old: str, new: str) -> Iterator[tuple[str, str]]:
    wwn = _WWN.fullmatch(old), _WWN.fullmatch(new)
    if wwn[0] and wwn[1]:
        for form in ("wwn-0x{}", "scsi-3{}", "nvme-eui.{}"):
            yield form.format(wwn[0][1].lower()), form.format(wwn[1][1].lower())
    if _KEPT.fullmatch(old) and _KEPT.fullmatch(new):
        yield f"virtio-{old[:_VIRTIO_LENGTH]}", f"virtio-{new[:_VIRTIO_LENGTH]}"
        for model in _MODELS:
            yield f"{model}_{old}", f"{model}_{new}"


REFERENCE = DiskNames()
