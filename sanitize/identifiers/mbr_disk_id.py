"""The id of an MBR disk: 32 bits, from which the ``PARTUUID`` of its partitions is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from unclone.sanitize.identities.derivation import IdentityGenerator


def new_disk_id(identities: IdentityGenerator, field: str) -> str:
    """Eight hex digits as blkid prints them; not zero, which means that there is none."""
    return f"{identities.number(field, 1, 0xFFFFFFFF):08x}"


STEP = IdentifierStep(
    info=StepInfo(
        id="mbr-disk-id",
        title="MBR disk id",
        why="root=PARTUUID=<id>-02 finds a partition by it, and firmware the boot disk",
        sources=("sfdisk(8) --disk-id", "UEFI 2.10, 5.2.1 Legacy Master Boot Record"),
    ),
    kind=IdentifierKind.MBR_DISK_ID,
    draw=new_disk_id,
)
