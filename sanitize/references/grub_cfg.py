"""GRUB's own configuration: what it searches for, and what it hands to the kernel."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="grub-cfg",
        title="GRUB configuration",
        why="GRUB searches for the root by UUID and hands root=UUID= to the kernel",
        sources=(
            "https://www.gnu.org/software/grub/manual/grub/grub.html#search",
            "grub2: util/grub-mkconfig_lib.in",
        ),
    ),
    paths=(
        "/boot/grub/*.cfg",
        "/boot/grub2/*.cfg",
        "/boot/grub/grub.conf",
        "/boot/grub/menu.lst",
        "/boot/grub2/menu.lst",
        "/etc/grub.d/*",
        "/ostree/deploy/*/deploy/*/etc/grub.d/*",
    ),
)
