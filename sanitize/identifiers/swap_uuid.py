"""The UUID of a swap area, which fstab, the initrd and ``resume=`` refer to."""

from __future__ import annotations

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.file_system_uuid import new_uuid
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

STEP = IdentifierStep(
    info=StepInfo(
        id="swap-uuid",
        title="swap UUID",
        why="a machine could swap to, or resume from, the disk of another",
        sources=("swaplabel(8) -U", "mkswap(8) -U"),
    ),
    kind=IdentifierKind.SWAP_UUID,
    draw=new_uuid,
)
