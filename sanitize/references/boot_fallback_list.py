r"""The list from which the fallback loader makes boot entries: UTF-16, with the options of each.

Reference: https://github.com/rhboot/shim: README.fallback.
"""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="boot-fallback-list",
        title="fallback boot entries",
        why="the fallback loader puts their options into the firmware's boot entries",
        sources=("https://github.com/rhboot/shim: README.fallback",),
    ),
    paths=tuple(f"{root}/EFI/*/*.[Cc][Ss][Vv]" for root in BOOT_ROOTS),
)
