"""The UUID that Fedora CoreOS writes down about its root (its GRUB variables are in ``*.cfg``)."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="coreos-root-uuid",
        title="CoreOS' root UUID",
        why="the initrd of Fedora CoreOS finds the root by it",
        sources=("coreos/fedora-coreos-config: overlay.d/05core",),
    ),
    paths=("/boot/.root_uuid",),
)
