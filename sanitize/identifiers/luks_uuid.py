"""The UUID in a LUKS header, after which ``luks-<uuid>`` mappings are named."""

from __future__ import annotations

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.file_system_uuid import new_uuid
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

STEP = IdentifierStep(
    info=StepInfo(
        id="luks-uuid",
        title="LUKS UUID",
        why="crypttab and the initrd unlock a container by it; the keys stay the same",
        sources=("cryptsetup-luksUUID(8)", "crypttab(5)"),
    ),
    kind=IdentifierKind.LUKS_UUID,
    draw=new_uuid,
)
