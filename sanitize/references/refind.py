"""rEFInd: its own configuration, and the file that it reads beside a kernel."""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="refind",
        title="rEFInd configuration",
        why="refind_linux.conf lies beside the kernel and holds its command line",
        sources=("https://www.rodsbooks.com/refind/configfile.html",),
    ),
    paths=(
        "/boot/refind_linux.conf",
        "/boot/refind_linux.conf.*",
        *(f"{root}/EFI/refind/*.conf" for root in BOOT_ROOTS),
        *(f"{root}/EFI/BOOT/refind.conf" for root in BOOT_ROOTS),
        *(f"{root}/EFI/*/refind_linux.conf" for root in BOOT_ROOTS),
    ),
)
