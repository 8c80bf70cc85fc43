"""What the kinds of device identifier have in common: a step whose changes are set in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Change, Level, Note, Retired, StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.images.volumes import IdentifierKind
    from unclone.sanitize.identities.derivation import IdentityGenerator
    from unclone.sanitize.renewal import Blocker
    from unclone.sanitize.step import PlanningContext, StepInfo

#: The action that sets a device identifier.
ACTION = "set-identifier"


@dataclass(frozen=True, slots=True)
class IdentifierStep:
    """One kind of identifier. ``draw`` makes a new value for a field of the given name.

    Which identifiers are renewed is decided for all kinds together (``identifier_decision``),
    because a reference may hold several of them; each step then plans for its own.
    """

    info: StepInfo
    kind: IdentifierKind
    draw: Callable[[IdentityGenerator, str], str]

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each identifier, and a note for each that stays."""
        renewed = context.renewals.of(self.kind)
        return StepPlan(
            changes=tuple(
                Change(
                    step=self.info.id,
                    action=ACTION,
                    target=each.device,
                    why=self.info.why,
                    old=each.old,
                    new=each.new,
                    details={"kind": self.kind.value},
                )
                for each in renewed
            ),
            notes=tuple(
                self._kept(blocker)
                for blocker in context.renewals.kept
                if blocker.renewal.kind is self.kind
            ),
            retired=tuple(Retired(self.info.id, self.kind.value, each.old) for each in renewed),
        )

    def _kept(self, blocker: Blocker) -> Note:
        renewal = blocker.renewal
        what = f"{self.info.title} {printable(renewal.old, 64)} on {renewal.device} is kept"
        lift = f" {blocker.lift}" if blocker.lift else ""
        return Note(self.info.id, Level.KEPT, f"{what}: {blocker.why}.{lift}")
