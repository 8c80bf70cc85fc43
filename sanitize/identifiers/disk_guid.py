"""The GUID of a GPT disk."""

from __future__ import annotations

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.file_system_uuid import new_uuid
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

STEP = IdentifierStep(
    info=StepInfo(
        id="disk-guid",
        title="disk GUID",
        why="it says which disk this is; inventory and backup tools go by it",
        sources=("sfdisk(8) --disk-id", "UEFI 2.10, 5.3.2 GPT Header"),
    ),
    kind=IdentifierKind.DISK_GUID,
    draw=new_uuid,
)
