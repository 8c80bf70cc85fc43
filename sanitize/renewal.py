"""Which identifiers a run gives up, and for what."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from unclone.sanitize.rewriting import Rewriter

if TYPE_CHECKING:
    from unclone.images.volumes import IdentifierKind


class OtherKind(StrEnum):
    """Identifiers that files refer to as they do to those of devices, and that no device has."""

    MAC_ADDRESS = "mac-address"  # lower case, with colons


@dataclass(frozen=True, slots=True)
class Renewal:
    """One identifier, old and new, in its own tools' spelling (see ``unclone.images.volumes``)."""

    kind: IdentifierKind | OtherKind
    device: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why an identifier is kept: something refers to it that cannot be rewritten safely."""

    renewal: Renewal
    why: str
    #: What the person could do so that the next run can renew it.
    lift: str


@dataclass(frozen=True)
class Renewals:
    """What is renewed, and what is kept and why."""

    renewed: tuple[Renewal, ...] = ()
    kept: tuple[Blocker, ...] = field(default=())

    @cached_property
    def rewriter(self) -> Rewriter:
        """Rewrites references to everything that is renewed."""
        return Rewriter(self.renewed)

    def of(self, kind: IdentifierKind) -> tuple[Renewal, ...]:
        """What is renewed of one kind."""
        return tuple(each for each in self.renewed if each.kind is kind)
