"""EXTLINUX and SYSLINUX: Alpine, and U-Boot's way of booting on many boards."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="extlinux",
        title="extlinux and syslinux configuration",
        why="its APPEND lines tell the kernel where the root is",
        sources=("https://wiki.syslinux.org/wiki/index.php?title=Config",),
    ),
    paths=(
        "/boot/extlinux/*.conf",
        "/boot/extlinux.conf",
        "/boot/syslinux/*.cfg",
        "/boot/syslinux.cfg",
        "/extlinux.conf",
        "/syslinux.cfg",
        *(f"{root}/extlinux/*.conf" for root in BOOT_ROOTS),
        *(f"{root}/syslinux/*.cfg" for root in BOOT_ROOTS),
        *(f"{root}/EFI/syslinux/*.cfg" for root in BOOT_ROOTS),
    ),
)
