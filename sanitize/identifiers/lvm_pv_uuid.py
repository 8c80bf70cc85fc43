"""The UUID of an LVM physical volume."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.identities.spellings import dashed_lvm
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from unclone.sanitize.identities.derivation import IdentityGenerator

#: What lib/uuid/uuid.c of LVM2 draws from, without the two signs that old versions also used.
_ALPHABET = string.digits + string.ascii_lowercase + string.ascii_uppercase
_LENGTH = 32


def new_lvm_uuid(identities: IdentityGenerator, field: str) -> str:
    """32 letters and digits, dashed as LVM's own tools print them."""
    number = identities.number(field, 0, len(_ALPHABET) ** _LENGTH - 1)
    drawn = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        drawn.append(_ALPHABET[digit])
    return dashed_lvm("".join(drawn))


STEP = IdentifierStep(
    info=StepInfo(
        id="lvm-pv-uuid",
        title="LVM physical volume UUID",
        why="LVM refuses a volume group when two disks claim to be the same physical volume",
        sources=("pvchange(8) --uuid", "vgimportclone(8)", "lvmdevices(8)"),
    ),
    kind=IdentifierKind.LVM_PV_UUID,
    draw=new_lvm_uuid,
)
