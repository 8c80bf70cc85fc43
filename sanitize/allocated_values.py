"""The new values of a machine's disks, allocated with the rest of its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.identifiers import STEPS, is_none
from unclone.sanitize.new_values import NewValues

if TYPE_CHECKING:
    from collections.abc import Iterable

    from unclone.images.volumes import Identifier
    from unclone.sanitize.identities.allocation import Allocation
    from unclone.sanitize.options import Options


def allocated(present: Iterable[Identifier], options: Options, allocation: Allocation) -> NewValues:
    """A new value for each identifier in *present* that *options* would renew, and a machine-id."""
    steps = {step.kind: step for step in STEPS if step.info.id not in options.disable}
    found = {}
    for each in present if options.uuids == "renew" else ():
        step = steps.get(each.kind)
        if step is not None and not is_none(each.value):
            field = f"{each.kind} {each.device}"
            found[field] = allocation.identifier(
                each.kind.value, each.value, field=field, draw=step.form.draw
            )
    machine_id = allocation.identifier(
        "machine-id", "", field="machine-id", draw=lambda new, name: new.bytes(name, 16).hex()
    )
    return NewValues(machine_id, found)
