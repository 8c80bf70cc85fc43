"""Steps that are not part of this run, and that find something in the guest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.sanitize.catalogue.row import CatalogueStep
from unclone.sanitize.options import Profile
from unclone.sanitize.planning import all_steps, is_selected

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.options import Options
    from unclone.sanitize.step import Step


class Off(StrEnum):
    """Why a step is not part of the run."""

    BY_DEFAULT = "by-default"  # it may do harm (StepInfo.off_because); --enable STEP
    GOLDEN = "golden"  # only with --profile golden, or --enable STEP
    DISABLED = "disabled"  # --disable STEP was given


@dataclass(frozen=True, slots=True)
class OptionalStep:
    """``path`` is one of the places where the step finds something; "" for a disabled code step."""

    step: str
    title: str
    off: Off
    off_because: str
    path: str


def optional_steps(guest: Guest, facts: Facts, options: Options) -> tuple[OptionalStep, ...]:
    """The steps that *options* leave out and that would change something in *guest*.

    Code steps are only left out when they are disabled by name; those are listed without a look.
    """
    found = []
    for step in all_steps(options):
        if not is_selected(step, options):
            path = _place(step, guest, facts)
            if path or not isinstance(step, CatalogueStep):
                info = step.info
                found.append(
                    OptionalStep(info.id, info.title, _off(step, options), info.off_because, path)
                )
    return tuple(found)


def _place(step: Step, guest: Guest, facts: Facts) -> str:
    if not isinstance(step, CatalogueStep):
        return ""
    try:
        return step.first_place(guest, facts)
    except (OSError, UncloneError):  # what cannot be looked at is not claimed to be there
        return ""


def _off(step: Step, options: Options) -> Off:
    if step.info.id in options.disable:
        return Off.DISABLED
    if step.info.off_because:
        return Off.BY_DEFAULT
    return Off.GOLDEN if step.info.profile is Profile.GOLDEN else Off.DISABLED
