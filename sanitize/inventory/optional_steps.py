"""What is found in the guest and stays: by steps that are left out, and by rows that only tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError
from unclone.images.text import printable
from unclone.sanitize.catalogue.paths import inside
from unclone.sanitize.catalogue.row import PLACES_LIMIT, CatalogueStep
from unclone.sanitize.options import Profile
from unclone.sanitize.step import StepKind
from unclone.sanitize.step_selection import all_steps, is_selected

if TYPE_CHECKING:
    from collections.abc import Collection

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
    """``path`` is the first of ``paths``, where the step finds something.

    A code step that is disabled is listed without a look: it has "" and none.
    """

    step: str
    title: str
    off: Off
    off_because: str
    path: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """An identity that no step changes; ``remedy`` says what gives a clone its own."""

    step: str
    title: str
    why: str
    remedy: str
    paths: tuple[str, ...]


def optional_steps(guest: Guest, facts: Facts, options: Options) -> tuple[OptionalStep, ...]:
    """The steps that *options* leave out and that would change something in *guest*.

    Code steps that are disabled by name are listed without a look.
    """
    found = []
    for step in all_steps(options):
        if not is_selected(step, options) and step.info.kind is not StepKind.TELL:
            paths = _places(step, guest, facts)
            if paths or _is_disabled_code(step, options):
                info, off = step.info, _off(step, options)
                path = next(iter(paths), "")
                found.append(OptionalStep(info.id, info.title, off, info.off_because, path, paths))
    return tuple(found)


def _is_disabled_code(step: Step, options: Options) -> bool:
    return not isinstance(step, CatalogueStep) and step.info.id in options.disable


def told(guest: Guest, facts: Facts, options: Options) -> tuple[Told, ...]:
    """What rows of the kind ``tell`` find in *guest*; a row that is disabled says nothing."""
    found = []
    for step in all_steps(options):
        if isinstance(step, CatalogueStep) and step.info.kind is StepKind.TELL:
            row = step.row
            paths = _places(step, guest, facts) if is_selected(step, options) else ()
            if paths:
                found.append(Told(row.id, row.title, row.why, row.remedy, paths))
    return tuple(found)


def undecided(
    guest: Guest, facts: Facts, options: Options, changed: Collection[str] = ()
) -> list[str]:
    """What a strict run refuses to leave: each identity that stays without an option that keeps it.

    What is at the paths *changed*, or below one, does not stay.

    Those are the rows that are off by default, but for those of a profile that was not asked for,
    and those of the kind ``tell``. ``--enable`` and ``--disable`` say what is to become of one.
    """
    golden = {s.info.id for s in all_steps(options) if s.info.profile is Profile.GOLDEN}
    off = [
        (each.step, each.paths)
        for each in optional_steps(guest, facts, options)
        if each.off is Off.BY_DEFAULT
        if options.profile is Profile.GOLDEN or each.step not in golden
    ]
    named = [(each.step, each.paths) for each in told(guest, facts, options)]
    stays = ((step, [p for p in paths if not inside(p, changed)]) for step, paths in off + named)
    return [f"{step} ({printable(paths[0], 200)})" for step, paths in stays if paths]


def _places(step: Step, guest: Guest, facts: Facts) -> tuple[str, ...]:
    if not isinstance(step, CatalogueStep):
        return ()
    try:
        limit = 1 if step.info.profile is Profile.GOLDEN else PLACES_LIMIT
        return step.places(guest, facts, limit)
    except (OSError, UncloneError):  # what cannot be looked at is not claimed to be there
        return ()


def _off(step: Step, options: Options) -> Off:
    if step.info.id in options.disable:
        return Off.DISABLED
    if step.info.off_because:
        return Off.BY_DEFAULT
    return Off.GOLDEN if step.info.profile is Profile.GOLDEN else Off.DISABLED
