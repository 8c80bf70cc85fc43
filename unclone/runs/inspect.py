"""The run of ``unclone inspect``: read an image, and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.transaction import ReadOnly
from unclone.runs.listener import NullListener, PhaseTimer
from unclone.runs.opening import read_guest, summary
from unclone.sanitize.report import Inspection

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request


def inspect(request: Request, listener: Listener | None = None) -> Inspection:
    """Look at an image: what it is, which identity is in it, what a run would change.

    Nothing is written to the image or beside it. A guest that a run would refuse is shown all the
    same, with the reason, unless the request is strict. Raises ``UncloneError``.
    """
    timer = PhaseTimer(listener or NullListener())
    timer.phase("lock")
    with ReadOnly(request.disks, allow=request.allow) as transaction:
        return read_guest(
            request, transaction, timer, lambda guest: _found(request, guest, transaction, timer)
        )


def _found(request: Request, guest: Guest, transaction: ReadOnly, timer: PhaseTimer) -> Inspection:
    from unclone.sanitize.change import Plan  # noqa: PLC0415 (slow to load)
    from unclone.sanitize.inventory.taking import take_inventory  # noqa: PLC0415 (slow to load)
    from unclone.sanitize.new_values import NewValues, mask_random  # noqa: PLC0415 (slow to load)
    from unclone.sanitize.planning import make_plan  # noqa: PLC0415 (slow to load)

    new_values = NewValues()
    refusal = ""
    try:
        plan = make_plan(guest, request.options, new_values)
    except RefusedError as error:
        if request.options.strict:
            raise
        refusal = " ".join(filter(None, (f"{error.message}.", error.hint)))
        plan = Plan(request.options.profile.value, (), (), ())
    first = transaction.images[0]
    return Inspection(
        image=str(request.image),
        format=str(first.format),
        virtual_size=first.virtual_size,
        engine=guest.engine,
        guest=summary(guest),
        file_systems=tuple(guest.file_systems()),
        identifiers=tuple(guest.identifiers()),
        plan=mask_random(plan, request.options, new_values),
        inventory=take_inventory(guest, request.options),
        warnings=(*transaction.warnings, *guest.layout.warnings),
        timings=timer.stop(),
        refusal=refusal,
    )
