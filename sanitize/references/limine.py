"""The Limine boot loader."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="limine",
        title="Limine configuration",
        why="its command lines and resource paths name file systems by UUID",
        sources=("https://github.com/limine-bootloader/limine: CONFIG.md",),
    ),
    paths=(
        "/boot/limine*.conf",
        "/boot/limine/limine*",
        "/etc/default/limine",
        *(f"{root}/limine*.c*f*g" for root in BOOT_ROOTS),
        *(f"{root}/limine/limine.conf" for root in BOOT_ROOTS),
        *(f"{root}/EFI/*/limine*.conf" for root in BOOT_ROOTS),
    ),
)
