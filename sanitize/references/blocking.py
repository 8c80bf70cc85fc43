"""What kinds of reference that can only be kept have in common: they block, and plan nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.sanitize.change import StepPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unclone.sanitize.renewal import Blocker
    from unclone.sanitize.step import PlanningContext, StepInfo


@dataclass(frozen=True, slots=True)
class BlockingReference:
    """A place that no tool can rewrite offline: what it refers to keeps its identifier."""

    info: StepInfo
    find: Callable[[PlanningContext], Sequence[Blocker]]

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """What must stay, and why."""
        return self.find(context)

    def plan(self, context: PlanningContext) -> StepPlan:  # noqa: ARG002
        """Nothing to do: what is kept, the step of its identifier reports."""
        return StepPlan()
