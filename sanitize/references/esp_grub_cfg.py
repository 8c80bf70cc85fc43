"""The stub on the EFI system partition that leads GRUB to its configuration."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

#: Of the roots, those where nothing but an EFI system partition is.
_ESP = tuple(root for root in BOOT_ROOTS if root != "/boot")

REFERENCE = TextReference(
    info=StepInfo(
        id="esp-grub-cfg",
        title="GRUB configuration on the EFI system partition",
        why="it tells GRUB where its real configuration is; without it GRUB stops at its prompt",
        sources=(
            "grub-install(8)",
            "https://src.fedoraproject.org/rpms/grub2",
        ),
    ),
    paths=(
        *(f"{root}/EFI/*/*.cfg" for root in BOOT_ROOTS),
        *(f"{root}/EFI/*/*/*.cfg" for root in BOOT_ROOTS),
        *(f"{root}/{folder}*.cfg" for root in _ESP for folder in ("", "grub/", "grub2/")),
    ),
)
