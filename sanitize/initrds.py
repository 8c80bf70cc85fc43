"""The initrds of a guest: where they are, and one look into each.

Unpacking is most of the work, so what a look found is remembered for as long as the initrd is the
same: planning, verification and the residue scan ask the same questions.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from sanitize.boot.compression import detect
from sanitize.boot.initrd import survey
from sanitize.boot.kernel_arguments import BOOT_ROOTS
from sanitize.files import files_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from images.guest import Guest
    from sanitize.boot.initrd import Survey

#: As initramfs-tools, dracut, mkinitcpio, mkinitfs and booster call them, kernel-install and
#: ostree put them, and boards' boot partitions have them.
PATTERNS = (
    *(f"/boot/{folders}{name}" for folders in ("", "*/", "*/*/", "*/*/*/") for name in ("initr*",)),
    "/boot/booster*",
    *(f"{root}/{name}" for root in BOOT_ROOTS[1:] for name in ("initr*", "booster*", "*/*/initr*")),
    *(f"{root}/EFI/*/initr*" for root in BOOT_ROOTS),
)

#: Bytes. Initrds with every driver and firmware have a few hundred million.
SIZE_LIMIT = 512 * 1024 * 1024

_REMEMBERED = 16
_known: OrderedDict[bytes, tuple[frozenset[bytes], Survey | None]] = OrderedDict()


def find(guest: Guest) -> Iterator[str]:
    """The physical path of every initrd."""
    for path in files_at(guest, PATTERNS, SIZE_LIMIT):
        if detect(guest.read(path, 16)) is not None:
            yield guest.resolve(path)


def look_into(content: bytes, needles: Sequence[bytes]) -> Survey:
    """What the initrd *content* holds, and where any of *needles* is in it.

    There may be hits of further needles, which were asked for before.
    """
    key = hashlib.sha256(content).digest()
    asked, found = _known.pop(key, (frozenset(), None))
    if found is None or not asked.issuperset(needles):
        asked = frozenset(needles)
        found = survey(content, needles)
    _known[key] = asked, found
    if len(_known) > _REMEMBERED:
        _known.popitem(last=False)
    return found
