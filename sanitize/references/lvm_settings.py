"""LVM's devices file and metadata backups, where the catalogue leaves them."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="lvm-settings",
        title="LVM's record of its devices",
        why="a volume group whose devices are not in it is not activated",
        sources=(
            "lvmdevices(8)",
            "vgcfgbackup(8)",
        ),
    ),
    paths=(
        "/etc/lvm/devices/*",
        "/etc/lvm/backup/*",
        "/etc/lvm/archive/*",
        "/etc/lvm/lvm.conf",
        "/etc/lvm/lvmlocal.conf",
        "/etc/lvm/profile/*",
    ),
)
