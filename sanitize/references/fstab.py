"""``/etc/fstab``, and that of each deployment of an ostree system."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="fstab",
        title="fstab",
        why="what is mounted at boot is named here; a missing one ends in an emergency shell",
        sources=("fstab(5)",),
    ),
    paths=(
        "/etc/fstab",
        "/etc/fstab.d/*",
        "/ostree/deploy/*/deploy/*/etc/fstab",
    ),
)
