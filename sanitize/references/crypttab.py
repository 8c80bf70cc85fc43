"""``/etc/crypttab``: containers by their UUID, and mappings called ``luks-<uuid>``."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="crypttab",
        title="crypttab",
        why="encrypted containers are found by UUID here, and often named after it",
        sources=("crypttab(5)",),
    ),
    paths=(
        "/etc/crypttab",
        "/etc/crypttab.initramfs",
        "/ostree/deploy/*/deploy/*/etc/crypttab",
    ),
)
