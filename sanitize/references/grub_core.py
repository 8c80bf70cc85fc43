"""GRUB's image for BIOS: what ``core.img`` searches for is compressed, and written to bare sectors.

It names an identifier only where grub-install could not use a plain disk and path: several disks,
LVM, RAID, LUKS. Only grub-install can make it anew, so what it names is kept.

References: GRUB 2.06 util/grub-install.c (``load.cfg``, prefix), grub-core/osdep/devmapper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.boot.grub_core import SECTORS_LIMIT, bios_image
from unclone.sanitize.files import files_at
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.step import PlanningContext

_PATTERNS = ("/boot/grub/*/core.img", "/boot/grub2/*/core.img")


def _find(context: PlanningContext) -> Sequence[Blocker]:
    guest = context.guest
    found = []
    for path in files_at(guest, _PATTERNS, SECTORS_LIMIT):
        image = bios_image(guest.read(path, SECTORS_LIMIT))
        if image is None:
            continue
        built_in = f"{image.prefix}\n{image.config}\n".encode("utf-8", "surrogateescape")
        found += [
            Blocker(
                renewal,
                f"GRUB's boot sectors look for it, as {printable(path)} shows",
                "Renew it in the guest and run grub-install there.",
            )
            for renewal in context.renewals.rewriter.found(built_in + image.memdisk)
        ]
    return found


REFERENCE = BlockingReference(
    info=StepInfo(
        id="grub-core",
        title="identifiers built into GRUB's boot sectors",
        why="GRUB finds its modules and configuration by them, before it can read anything else",
        sources=("grub-install(8)", "grub2: util/grub-install.c, util/mkimage.c"),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
