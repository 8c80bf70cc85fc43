"""GRUB's environment block: 1024 bytes before and after, because nothing changes its length."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="grubenv",
        title="GRUB environment block",
        why="kernelopts holds root=UUID= on systems of the RHEL 8 generation",
        sources=("https://www.gnu.org/software/grub/manual/grub/grub.html#Environment-block",),
    ),
    paths=(
        "/boot/grub/grubenv",
        "/boot/grub2/grubenv",
        *(f"{root}/EFI/*/grubenv" for root in BOOT_ROOTS),
    ),
)
