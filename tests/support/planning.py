"""What a step plans from, for tests that ask one step alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize import initrds
from unclone.sanitize.facts import Facts
from unclone.sanitize.options import Options
from unclone.sanitize.renewal import Renewals
from unclone.sanitize.step import PlanningContext

if TYPE_CHECKING:
    from unclone.images.guest import Guest


def context(
    guest: Guest, options: Options | None = None, renewals: Renewals | None = None
) -> PlanningContext:
    """The context in which *renewals* have been decided, and the initrds unpacked for them."""
    renewed = renewals or Renewals()
    surveys = initrds.surveys(guest, renewed.rewriter.needles) if renewals else {}
    return PlanningContext(
        guest, Facts(guest), options or Options(), renewals=renewed, initrds=surveys
    )
