"""The volume serial of a FAT file system: 32 bits, written ``ABCD-1234``, used like a UUID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from unclone.sanitize.identities.derivation import IdentityGenerator


def new_serial(identities: IdentityGenerator, field: str) -> str:
    """A serial that is not zero, which means that there is none."""
    digits = f"{identities.number(field, 1, 0xFFFFFFFF):08X}"
    return f"{digits[:4]}-{digits[4:]}"


STEP = IdentifierStep(
    info=StepInfo(
        id="vfat-serial",
        title="FAT volume serial",
        why="the EFI system partition is mounted and searched for by it",
        sources=("fatlabel(8) -i", 'Microsoft, "FAT: General Overview of On-Disk Format" 1.03'),
    ),
    kind=IdentifierKind.VFAT_SERIAL,
    draw=new_serial,
)
