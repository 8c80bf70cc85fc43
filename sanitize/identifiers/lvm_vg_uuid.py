"""The UUID of an LVM volume group. Its name stays: device paths are made of names."""

from __future__ import annotations

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.identifiers.lvm_pv_uuid import new_lvm_uuid
from unclone.sanitize.step import StepInfo

STEP = IdentifierStep(
    info=StepInfo(
        id="lvm-vg-uuid",
        title="LVM volume group UUID",
        why="two groups with one UUID are taken for one whose disks contradict each other",
        sources=("vgchange(8) --uuid", "vgimportclone(8)"),
    ),
    kind=IdentifierKind.LVM_VG_UUID,
    draw=new_lvm_uuid,
)
