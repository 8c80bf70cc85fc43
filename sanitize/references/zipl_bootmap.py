"""zipl, the boot loader of s390x: kernel parameters are copied into its bootmap.

Only the zipl program can write one, on a machine of that kind; what it refers to is kept. The map
is in the directory that ``target=`` names, which is ``/boot`` by default, or a file system of its
own, as SUSE's ``/boot/zipl``.

Reference: zipl(8), zipl.conf(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize.files import TEXT_LIMIT, files_at
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.step import PlanningContext

#: zipl's configuration, the distribution's own, and that beside a map.
CONFIGURATIONS = ("/etc/zipl.conf", "/etc/zipl/*", "/usr/lib/zipl/*", "/boot/zipl/config")
#: Where the map is by default (``target=/boot``), and at SUSE.
BOOTMAPS = ("/boot/bootmap", "/boot/zipl/bootmap")

_LIMIT = 64 * 1024 * 1024
_TARGET = re.compile(r"(?m)^[ \t]*(?:target|bootmap)[ \t]*=[ \t]*[\"']?(?P<path>/[^\s\"']*)")
#: What zipl makes its bootmap from.
_SOURCES = (*CONFIGURATIONS, "/boot/loader/entries/*.conf")


def _find(context: PlanningContext) -> Sequence[Blocker]:
    guest = context.guest
    maps = tuple(files_at(guest, (*BOOTMAPS, *_elsewhere(guest)), _LIMIT))
    if not maps and not any(files_at(guest, CONFIGURATIONS, _LIMIT)):
        return ()
    places = (*maps, *files_at(guest, _SOURCES, _LIMIT))
    found = {
        renewal: None
        for path in places
        for renewal in context.renewals.rewriter.found(guest.read(path, _LIMIT))
    }
    why = "zipl's boot map has the kernel parameters that refer to it"
    return [Blocker(each, why, "Renew it in the guest and run zipl there.") for each in found]


def _elsewhere(guest: Guest) -> Iterator[str]:
    """Patterns for maps in the directories that zipl's configuration names, and on every mount."""
    for path in files_at(guest, CONFIGURATIONS, TEXT_LIMIT):
        for match in _TARGET.finditer(guest.text_or_empty(path, TEXT_LIMIT)):
            folder = re.sub(r"[*?\[]", "?", match["path"].rstrip("/"))
            yield from (f"{folder}/bootmap", folder)
    yield from (f"{m.mount_point.rstrip('/')}/bootmap" for m in guest.layout.mounts_in_order)


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
