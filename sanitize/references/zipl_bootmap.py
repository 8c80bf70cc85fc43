"""zipl, the boot loader of s390x: kernel parameters are copied into its bootmap.

Only the zipl program can write one, on a machine of that kind; what it refers to is kept.

Reference: zipl(8), zipl.conf(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.files import files_at
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.step import PlanningContext

#: zipl's configuration, and where the bootmap is by default (``target=/boot``).
CONFIGURATIONS = ("/etc/zipl.conf",)
BOOTMAPS = ("/boot/bootmap", "/boot/zipl/bootmap")

_LIMIT = 64 * 1024 * 1024
#: What zipl makes its bootmap from.
_SOURCES = (*CONFIGURATIONS, "/boot/loader/entries/*.conf")


def _find(context: PlanningContext) -> Sequence[Blocker]:
    guest = context.guest
    maps = tuple(files_at(guest, BOOTMAPS, _LIMIT))
    if not maps and not any(guest.is_file(path) for path in CONFIGURATIONS):
        return ()
    places = (*maps, *files_at(guest, _SOURCES, _LIMIT))
    found = {
        renewal: None
        for path in places
        for renewal in context.renewals.rewriter.found(guest.read(path, _LIMIT))
    }
    why = "zipl's boot map has the kernel parameters that refer to it"
    return [Blocker(each, why, "Renew it in the guest and run zipl there.") for each in found]


REFERENCE = BlockingReference(
    info=StepInfo(
        id="zipl",
        title="zipl's boot map",
        why="the firmware of a mainframe boots what the map says, with root=UUID= in it",
        sources=("zipl(8)", "zipl.conf(5)"),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
