"""Command lines from which kernel-install, mkinitcpio and their like make boot entries."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="kernel-command-line",
        title="kernel command line of later kernels",
        why="the next kernel's boot entry or unified image is made from it",
        sources=(
            "kernel-install(8)",
            "mkinitcpio(8)",
        ),
    ),
    paths=(
        "/etc/kernel/cmdline",
        "/usr/lib/kernel/cmdline",
        "/etc/cmdline",
        "/etc/cmdline.d/*",
        "/etc/kernel/cmdline.d/*",
        "/etc/tuned/bootcmdline",
        "/etc/kernelstub/configuration",
        "/usr/lib/kernel/cmdline.d/*",
    ),
)
