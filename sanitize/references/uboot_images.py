"""U-Boot images: ``boot.scr``, a script behind two checksums, and ``uInitrd``, an initrd so packed.

References: U-Boot doc/usage/cmd/source.rst, include/image.h; mkimage(1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.actions.rewrite_uimage import refers, rewritten
from unclone.sanitize.boot import uimage
from unclone.sanitize.boot.uimage import ImageType
from unclone.sanitize.change import StepPlan
from unclone.sanitize.files import BOOT_ROOTS, files_at
from unclone.sanitize.references.initrd import blocking
from unclone.sanitize.references.reference import rewrite
from unclone.sanitize.renewal import Blocker, Renewals
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.renewal import Renewal
    from unclone.sanitize.step import PlanningContext

PATTERNS = (
    *(f"{root}/{name}" for root in BOOT_ROOTS for name in ("boot.scr*", "*.scr", "uInitrd*")),
    "/boot/*/boot.scr*",
    "/boot.scr",
)


class UBootImages:
    """Every script and packed initrd for U-Boot."""

    info = StepInfo(
        id="u-boot-images",
        title="U-Boot scripts and initrds",
        why="boards boot what the script says, with root=UUID= in it",
        sources=("mkimage(1)", "https://docs.u-boot.org/en/latest/usage/cmd/source.html"),
    )

    def blockers(self, context: PlanningContext) -> Sequence[Blocker]:
        """What an image refers to that U-Boot would not accept, or that cannot be rewritten."""
        return tuple(self._blockers(context.guest, context.renewals))

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change for each image that refers to something renewed."""
        return StepPlan(
            tuple(
                rewrite(self.info, path, found, "rewrite-uimage")
                for path, content in _images(context.guest)
                if (found := _found(content, context.renewals))
            )
        )

    def _blockers(self, guest: Guest, candidates: Renewals) -> Iterator[Blocker]:
        for path, content in _images(guest):
            image = uimage.parse(content)
            if image is not None and image.type is ImageType.RAMDISK:
                found = initrds.look_into(image.payload, candidates.rewriter.needles)
                yield from blocking(path, image.payload, found, candidates)
                if found.unreadable:
                    continue
            if not (renewals := _found(content, candidates)):
                continue
            try:
                rewritten(content, candidates.rewriter)
            except RefusedError as error:
                why = f"{printable(path)} refers to it: {error.message}"
                for renewal in renewals:
                    yield Blocker(renewal, why, "Make it again with mkimage in the guest.")


def _images(guest: Guest) -> Iterator[tuple[str, bytes]]:
    for path in files_at(guest, PATTERNS, initrds.SIZE_LIMIT):
        yield path, guest.read(path, initrds.SIZE_LIMIT)


def _found(content: bytes, renewals: Renewals) -> tuple[Renewal, ...]:
    """Each of *renewals* by itself, because what is packed cannot be searched as a whole."""
    if not refers(content, renewals.rewriter):
        return ()
    return tuple(each for each in renewals.renewed if refers(content, Renewals((each,)).rewriter))


REFERENCE = UBootImages()
