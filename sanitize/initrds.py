"""The initrds of a guest: where they are, and one look into each.

Unpacking is most of the work, so what came out is remembered: planning, verification and the
residue scan ask the same questions, of the same initrd or of one to which something was appended.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from sanitize.boot.compression import detect
from sanitize.boot.initrd import survey
from sanitize.boot.kernel_arguments import BOOT_ROOTS
from sanitize.boot.recorded import Recorder
from sanitize.files import files_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from images.guest import Guest
    from sanitize.boot.initrd import Survey
    from sanitize.boot.recorded import Archive

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

#: Bytes. What is looked into ahead has to be in memory meanwhile.
_AHEAD_LIMIT = 64 * 1024 * 1024

#: Initrds that are remembered, and bytes that are kept of them all.
_REMEMBERED, _KEPT = 16, 64 * 1024 * 1024


@dataclass(slots=True)
class _Known:
    """An initrd of *size* bytes, and what was found when it was asked for some needles."""

    size: int
    asked: frozenset[bytes]
    found: Survey
    archives: tuple[Archive, ...]
    kept: int


_known: OrderedDict[bytes, _Known] = OrderedDict()
#: The look ahead that goes on.
_ahead: list[Thread] = []


def find(guest: Guest) -> Iterator[str]:
    """The physical path of every initrd."""
    for path in files_at(guest, PATTERNS, SIZE_LIMIT):
        if detect(guest.read(path, 16)) is not None:
            yield guest.resolve(path)


def look_ahead(guest: Guest) -> None:
    """Begin to unpack the initrds of *guest*, while others have to be waited for.

    Unpacking needs no guest and, most of the time, no interpreter.
    """
    contents = []
    room = _AHEAD_LIMIT
    with suppress(OSError):  # whoever needs it meets it again, and says so
        for path in find(guest):
            stat = guest.stat(path)
            if stat is not None and stat.size <= room:
                contents.append(guest.read(path, SIZE_LIMIT))
                room -= stat.size
    if contents:
        _await_ahead()
        _ahead.append(Thread(target=_unpack, args=(contents,), daemon=True))
        _ahead[0].start()


def look_into(content: bytes, needles: Sequence[bytes]) -> Survey:
    """What the initrd *content* holds, and where any of *needles* is in it.

    There may be hits of further needles, which were asked for before.
    """
    _await_ahead()
    return _look_into(content, needles)


def _await_ahead() -> None:
    while _ahead:
        _ahead[0].join()
        _ahead.pop()


def _unpack(contents: list[bytes]) -> None:
    while contents:
        _look_into(contents.pop(0), ())


def _look_into(content: bytes, needles: Sequence[bytes]) -> Survey:
    digests = _digests(content)
    key = digests[len(content)]
    known = _known.pop(key, None)
    if known is None or not known.asked.issuperset(needles):
        known = _survey(content, needles, _archives(known, digests))
    _known[key] = known
    kept = 0
    for place, each in enumerate(reversed(tuple(_known))):
        kept += _known[each].kept
        if place >= _REMEMBERED:
            del _known[each]
        elif kept > _KEPT:
            _known[each].archives, _known[each].kept = (), 0
    return known.found


def _survey(content: bytes, needles: Sequence[bytes], archives: tuple[Archive, ...]) -> _Known:
    recorder = Recorder()
    found = survey(content, needles, known=archives, recorder=recorder)
    return _Known(len(content), frozenset(needles), found, recorder.archives, recorder.size)


def _archives(known: _Known | None, digests: Mapping[int, bytes]) -> tuple[Archive, ...]:
    """What is known of the beginning of the content with *digests*: a correction is appended."""
    if known is not None:
        return known.archives
    beginnings = [_known[key] for key in digests.values() if key in _known]
    return max(beginnings, key=lambda each: each.size).archives if beginnings else ()


def _digests(content: bytes) -> Mapping[int, bytes]:
    """The digest of *content*, and of as many of its first bytes as other initrds have, by size."""
    sizes = {each.size for each in _known.values() if each.size < len(content)}
    digest, done, found = hashlib.sha256(), 0, {}
    for size in (*sorted(sizes), len(content)):
        digest.update(memoryview(content)[done:size])
        found[size], done = digest.digest(), size
    return found
