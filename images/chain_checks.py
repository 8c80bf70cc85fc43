"""QEMU's checks of images and their backing chains: once in a process for each backing file.

Linked clones have one backing file, and checking it took longer than reading a clone.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from unclone.images import qemu_img
from unclone.images.files import settled_state

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from unclone.images.image import Image

#: The checks that backing files have passed, and the states that these files were in.
_PASSED: set[Hashable] = set()


def chain_checks(images: Sequence[Image], *, writable: bool) -> Sequence[Callable[[], None]]:
    """The checks, to be called while the files are locked; each raises RefusedError.

    A backing file that has passed is not checked again as long as its size and times are the same.
    """
    return [
        partial(_check, number, link, own=link is image, locked=writable and link is image)
        for image in images
        for link in image.chain
        for number in (0, 1)
    ]


def _check(number: int, image: Image, *, own: bool, locked: bool) -> None:
    check = (qemu_img.require_readable, qemu_img.require_sound)[number]
    states = () if own else tuple(settled_state(path) for path in image.names)
    passed = (number, image.format, image.virtual_size, *states)
    if states and all(states) and passed in _PASSED:
        return
    check(image, locked=locked)
    if states and all(states):
        _PASSED.add(passed)
