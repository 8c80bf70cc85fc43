"""Which steps there are, and which of them run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import UsageError
from unclone.images.text import printable
from unclone.sanitize.catalogue import load as load_catalogue
from unclone.sanitize.options import Profile
from unclone.sanitize.steps import LAST, STEPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.options import Options
    from unclone.sanitize.step import Step


def all_steps(options: Options) -> Sequence[Step]:
    """Every step there is: code, the catalogue, the person's own rows, then what follows them."""
    rows = load_catalogue(options.catalogues)
    taken = {step.info.id for step in (*STEPS, *LAST)}
    for row in rows:
        if row.info.id in taken:
            raise UsageError(
                f"row {row.info.id}: id: is taken by a built-in step", hint="Choose another id."
            )
    steps: tuple[Step, ...] = (*STEPS, *rows, *LAST)
    ids = {step.info.id for step in steps}
    unknown = sorted((options.enable | options.disable) - ids)
    if unknown:
        raise UsageError(
            f"there is no step called {printable(unknown[0], 80)}",
            hint="`unclone steps` lists them all.",
        )
    return steps


def is_selected(step: Step, options: Options) -> bool:
    """Whether *step* runs: disabled by name, enabled by name, else its profile and default."""
    info = step.info
    if info.id in options.disable:
        return False
    if info.id in options.enable:
        return True
    if info.off_because:
        return False
    return info.profile is Profile.IDENTITY or options.profile is Profile.GOLDEN
