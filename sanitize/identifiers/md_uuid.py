"""The UUID of an MD array: four groups of eight digits, in mdadm's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.identifiers.identifier import IdentifierStep
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from unclone.sanitize.identities.derivation import IdentityGenerator


def new_array_uuid(identities: IdentityGenerator, field: str) -> str:
    """A UUID as mdadm prints it."""
    digits = identities.uuid(field).replace("-", "")
    return ":".join(digits[at : at + 8] for at in range(0, 32, 8))


STEP = IdentifierStep(
    info=StepInfo(
        id="md-uuid",
        title="MD array UUID",
        why="members of two arrays with one UUID are assembled into one",
        sources=("mdadm(8) --update=uuid", "mdadm.conf(5)", "md(4)"),
    ),
    kind=IdentifierKind.MD_UUID,
    draw=new_array_uuid,
)
