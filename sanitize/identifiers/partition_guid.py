"""The GUID of a GPT partition: ``PARTUUID=`` in fstab and on kernel command lines."""

from __future__ import annotations

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.file_system_uuid import new_uuid
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

STEP = IdentifierStep(
    info=StepInfo(
        id="partition-guid",
        title="partition GUID",
        why="root=PARTUUID= and /dev/disk/by-partuuid find a partition by it",
        sources=("sfdisk(8) --part-uuid", "UEFI 2.10, 5.3.3 GPT Partition Entry Array"),
    ),
    kind=IdentifierKind.PARTITION_GUID,
    draw=new_uuid,
)
