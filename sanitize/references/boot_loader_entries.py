"""Entries after the Boot Loader Specification (type 1), wherever they are kept."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="boot-loader-entries",
        title="boot loader entries",
        why="the kernel finds its root by what an entry's options say",
        sources=("https://uapi-group.org/specifications/specs/boot_loader_specification/",),
    ),
    paths=(
        "/boot/loader.*/entries/*.conf",
        *(f"{root}/loader/entries/*.conf" for root in BOOT_ROOTS),
        *(f"{root}/loader/*.conf" for root in BOOT_ROOTS),
    ),
)
