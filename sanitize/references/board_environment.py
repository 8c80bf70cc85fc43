"""Text files from which boards' boot scripts take the root device."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="board-environment",
        title="board firmware's environment",
        why="U-Boot's scripts take the root device from it",
        sources=(
            "armbian/build: config/bootenv",
            "https://docs.u-boot.org/en/latest/",
        ),
    ),
    paths=(
        "/boot/armbianEnv.txt",
        "/boot/orangepiEnv.txt",
        "/boot/dietpiEnv.txt",
        "/boot/uEnv.txt",
        "/boot/uenv.txt",
        "/boot/boot.ini",
        "/boot/boot.cmd",
        "/boot/env.txt",
        "/boot/extlinux/*.env",
        *(f"{root}/uEnv.txt" for root in BOOT_ROOTS),
        *(f"{root}/uEnv/*.txt" for root in BOOT_ROOTS),
        *(f"{root}/armbianEnv.txt" for root in BOOT_ROOTS),
        *(f"{root}/boot.ini" for root in BOOT_ROOTS),
        *(f"{root}/boot.cmd" for root in BOOT_ROOTS),
    ),
)
