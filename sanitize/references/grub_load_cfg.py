"""``load.cfg``: what grub-install last built into GRUB, left beside its modules."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="grub-load-cfg",
        title="GRUB's early configuration",
        why="it shows what is built into GRUB; the EFI program beside it is patched alike",
        sources=("grub2: util/grub-install.c",),
    ),
    paths=("/boot/grub/*/load.cfg", "/boot/grub2/*/load.cfg"),
)
