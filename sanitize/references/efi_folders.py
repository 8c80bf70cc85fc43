"""Pop!_OS: kernels on the EFI system partition lie in a folder called after the root's UUID.

Reference: https://github.com/pop-os/kernelstub (``EFI/Pop_OS-<root UUID>``).
"""

from __future__ import annotations

from unclone.sanitize.boot.kernel_arguments import BOOT_ROOTS
from unclone.sanitize.references.names import NameReference
from unclone.sanitize.step import StepInfo

REFERENCE = NameReference(
    info=StepInfo(
        id="efi-folders",
        title="folders on the EFI system partition called after a root",
        why="boot entries point into EFI/Pop_OS-<UUID>, and kernelstub looks for it",
        sources=("https://github.com/pop-os/kernelstub",),
    ),
    # Only their names: what is inside has kinds of its own.
    names=tuple(f"{root}/EFI/*" for root in BOOT_ROOTS),
)
