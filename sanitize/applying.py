"""Carry a plan out against a guest."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from unclone.images import subvolumes
from unclone.images.errors import EngineError, RefusedError
from unclone.images.text import printable
from unclone.sanitize import left_behind
from unclone.sanitize.actions import ACTIONS
from unclone.sanitize.actions.delete_subvolume import deletions
from unclone.sanitize.actions.set_identifier import as_identifier
from unclone.sanitize.change import ON_DEVICES, SET_IDENTIFIER
from unclone.sanitize.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Plan
    from unclone.sanitize.left_behind import LeftBehind


def apply_plan(guest: Guest, plan: Plan) -> Sequence[Outcome]:
    """Do every change of *plan*, in order; stop at the first that fails.

    Raises :class:`EngineError` naming the step, the path and the reason, or ``RefusedError`` where
    the guest itself keeps it read-only. The caller throws the
    overlay away then, so nothing is ever half done.
    """
    outcomes = []
    noted: list[LeftBehind] = []
    on_devices = [change for change in plan.changes if change.action in ON_DEVICES]
    for change in plan.changes:
        if change.action in ON_DEVICES:
            continue
        try:
            left = left_behind.note(guest, change, noted)
            learned = ACTIONS[change.action].apply(guest, change)
        except OSError as error:
            if error.errno == errno.EROFS:
                raise RefusedError(
                    f"{printable(change.target)} would have to change, and what it is on is "
                    "read-only, also for its owner",
                    hint="A snapshot of btrfs that is the root (openSUSE MicroOS) is made writable "
                    "in the guest, before it is copied: btrfs property set -f -ts / ro false",
                ) from error
            raise EngineError(
                f"{change.step}: cannot {change.action} {printable(change.target)} in the guest: "
                f"{error.strerror or error}",
                hint=f"Look at the path in the guest, or use --disable {change.step}.",
            ) from error
        noted += left
        outcomes.append(Outcome(change, learned, left))
    # All at once: the guest is unmounted for it, and a partition table written only once.
    for device, paths in deletions(plan.changes).items():
        subvolumes.delete(guest, device, paths)
    identifiers = [change for change in on_devices if change.action == SET_IDENTIFIER]
    if identifiers:
        guest.set_identifiers(map(as_identifier, identifiers))
    return (*outcomes, *map(Outcome, on_devices))
