"""A step: one identity, how it is found and what is planned for it.

Steps only read. They come from two places: a row of the catalogue (``catalogue``), or
a module in ``steps`` where the decision needs more than paths. Both look the same to
the rest of the program, and ``unclone steps`` lists both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from unclone.sanitize.new_values import NewValues
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.renewal import Renewals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.guest import Guest
    from unclone.images.volumes import FileSystem
    from unclone.sanitize.boot.initrd import Survey
    from unclone.sanitize.change import Change, StepPlan
    from unclone.sanitize.facts import Facts


class StepKind(StrEnum):
    """What a step does with what it finds."""

    REMOVE = "remove"  # it goes: the machine makes its own, or is right without
    RENEW = "renew"  # it is changed in place, or made anew
    KEEP = "keep"  # it stays and is named; what has an `off_because` goes with --enable
    TELL = "tell"  # it stays, and the report says what gives a clone its own


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What ``unclone steps`` says about a step."""

    id: str
    title: str
    why: str
    sources: tuple[str, ...]
    profile: Profile = Profile.IDENTITY
    #: Why the step is off unless enabled by name; empty when it is on.
    off_because: str = ""
    kind: StepKind = StepKind.RENEW


@dataclass(frozen=True, slots=True)
class PlanningContext:
    """Everything a step plans from. It holds what was decided before; a step decides its own."""

    guest: Guest
    #: What the guest is: knowledge, read when first asked for.
    facts: Facts
    options: Options = field(default_factory=Options)
    #: Drawn once for a run, or those of a saved plan.
    new_values: NewValues = field(default_factory=NewValues)
    #: The device identifiers that this run renews, and those it keeps.
    renewals: Renewals = field(default_factory=Renewals)
    #: The partition that systemd mounts as /var because its GUID fits the machine-id.
    var_partition: FileSystem | None = None
    #: What the steps before this one change.
    changes: tuple[Change, ...] = ()
    #: What the initrds hold, by physical path; empty when they did not have to be unpacked.
    initrds: Mapping[str, Survey] = field(default_factory=dict)

    def new_uuid(self, old: str) -> str:
        """The UUID that takes the place of *old* in files: one for the whole guest."""
        return self.new_values.uuid(old, self.options)


class Step(Protocol):
    """One identity kind."""

    @property
    def info(self) -> StepInfo:
        """Its description."""

    def plan(self, context: PlanningContext) -> StepPlan:
        """Look at the guest and say what has to change. Reads only; may raise RefusedError."""
