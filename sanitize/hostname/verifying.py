"""Whether the machine has its new name, asked from the side of those who read it.

The places are those of the inventory, which share nothing with the rules that made the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.inventory.host_names import host_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Plan

ACTION = "set-host-name"


def old_names(plan: Plan) -> frozenset[str]:
    """The names that *plan* takes away, in lower case."""
    return frozenset(
        old
        for change in plan.changes
        if change.action == ACTION
        for old, new in change.details["names"].items()
        if old != new
    )


def wrong_names(guest: Guest, plan: Plan) -> Iterator[str]:
    """What is wrong with the names of *guest* after *plan*; nothing where it changed none."""
    changes = [change for change in plan.changes if change.action == ACTION]
    if not changes:
        return
    found = host_names(guest)
    name: str = changes[0].details["name"]
    if not found or found[0].value.lower() != name.lower():
        held = printable(found[0].value, 80) if found else "none"
        yield f"the host name is {held}, and not {name}"
    old = old_names(plan)
    new = {each.lower() for change in changes for each in change.details["names"].values()}
    for each in found:
        if each.value.lower() in old - new:
            yield f"{printable(each.paths[0])} still has the host name {printable(each.value, 80)}"
