"""Replace identifiers inside a U-Boot image: a script's text, or what an initrd holds.

Details: ``identifiers``, as in replace-identifiers. Both checksums of the image are made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.text import printable
from unclone.sanitize import initrds
from unclone.sanitize.actions.correct_initrd import is_reference
from unclone.sanitize.actions.replace_identifiers import rewriter_of
from unclone.sanitize.boot import uimage
from unclone.sanitize.boot.overriding import correct
from unclone.sanitize.boot.uimage import ImageType

if TYPE_CHECKING:
    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change
    from unclone.sanitize.renewal import Rewriter


class RewriteUImage:
    """Afterwards U-Boot accepts the image, and nothing in it refers to an old identifier."""

    def apply(self, guest: Guest, change: Change) -> str:
        """Raises RefusedError for what is no such image; the plan does not ask for that."""
        rewriter = rewriter_of(change)
        before = guest.read(change.target, initrds.SIZE_LIMIT)
        after = rewritten(before, rewriter)
        if after != before:
            guest.write(change.target, after)
        return ""

    def verify(self, guest: Guest, change: Change, learned: str) -> str:  # noqa: ARG002
        """Both checksums, and the content."""
        if not guest.exists(change.target):
            return ""
        content = guest.read(change.target, initrds.SIZE_LIMIT)
        image = uimage.parse(content)
        if image is None or not image.intact:
            return f"{printable(change.target)} is not an image that U-Boot accepts"
        if refers(content, rewriter_of(change)):
            return f"{printable(change.target)} still refers to an old identifier"
        return ""


def refers(content: bytes, rewriter: Rewriter) -> bool:
    """Whether the image *content* holds an old identifier that anything reads."""
    image = uimage.parse(content)
    if image is None:
        return False
    if image.type is ImageType.RAMDISK:
        found = initrds.look_into(image.payload, rewriter.needles)
        return any(is_reference(found, hit, rewriter) for hit in found.hits)
    return bool(rewriter.found(image.script or b""))


def rewritten(content: bytes, rewriter: Rewriter) -> bytes:
    """The image *content* with new identifiers. Raises RefusedError where that cannot be."""
    image = uimage.parse(content)
    if image is None or image.type not in {ImageType.RAMDISK, ImageType.SCRIPT}:
        raise RefusedError("this U-Boot image holds neither a script nor an initrd")
    if image.type is ImageType.SCRIPT:
        return uimage.rewritten(content, rewriter.rewritten)
    found = initrds.look_into(image.payload, rewriter.needles)
    correction = correct(image.payload, found, rewriter.rewritten)
    return uimage.with_payload(content, correction.applied(image.payload))
