"""The UUID of a file system: ext2/3/4, XFS, btrfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from unclone.sanitize.identities.derivation import IdentityGenerator


def new_uuid(identities: IdentityGenerator, field: str) -> str:
    """A UUID, lower case and dashed, as blkid prints them."""
    return identities.uuid(field)


STEP = IdentifierStep(
    info=StepInfo(
        id="file-system-uuid",
        title="file system UUID",
        why="two disks with one UUID cannot be told apart: one of them is mounted, by chance",
        sources=("tune2fs(8) -U", "xfs_admin(8) -U", "btrfstune(8) -U", "blkid(8)"),
    ),
    kind=IdentifierKind.FILE_SYSTEM_UUID,
    draw=new_uuid,
)
