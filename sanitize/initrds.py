"""The initrds of a guest: where they are, and what each holds.

Unpacking is most of the work, so what came out is remembered: planning, verification and the
residue scan ask the same questions, of the same initrd or of one to which something was appended.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from unclone.sanitize.boot.archives import Recorder
from unclone.sanitize.boot.budget import Budget
from unclone.sanitize.boot.compression import detect
from unclone.sanitize.boot.initrd import Survey, survey
from unclone.sanitize.boot.named_files import named_files
from unclone.sanitize.files import BOOT_ROOTS, files_at

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.boot.archives import Archive

#: As initramfs-tools, dracut, mkinitcpio, mkinitfs and booster call them, kernel-install and
#: ostree put them, and boards' boot partitions have them.
PATTERNS = (
    *(f"/boot/{folders}initr*" for folders in ("", "*/", "*/*/", "*/*/*/")),
    "/boot/booster*",
    *(f"{root}/{name}" for root in BOOT_ROOTS[1:] for name in ("initr*", "booster*", "*/*/initr*")),
    *(f"{root}/EFI/*/initr*" for root in BOOT_ROOTS),
    # What kdump-tools starts after a crash, and where packages of kernels bring one.
    "/var/lib/kdump/initr*",
    "/usr/lib/modules/*/initr*",
)

#: Bytes. Initrds with every driver and firmware have a few hundred million. What has as many or
#: more is not read, and so may refer to anything.
SIZE_LIMIT = 512 * 1024 * 1024

#: Bytes. What is looked into ahead has to be in memory meanwhile.
_AHEAD_LIMIT = 64 * 1024 * 1024

#: Initrds that are remembered, and bytes that are kept of them all.
_REMEMBERED, _KEPT = 16, 96 * 1024 * 1024
#: Bytes. Smaller ones are kept to be compared, which is faster than to make a digest.
_COMPARED = 32 * 1024 * 1024


class _Known:
    """An initrd, and what was found in it when it was asked for some needles."""

    def __init__(
        self,
        content: bytes,
        needles: Sequence[bytes],
        archives: Sequence[Archive],
        read: Collection[str] = (),
    ) -> None:
        recorder = Recorder()
        self.asked = frozenset(needles)
        self.read = frozenset(read)
        #: What this initrd has been counted in.
        self.budget = _budget
        self.found = survey(
            content, needles, read=read, known=archives, recorder=recorder, budget=_budget
        )
        self.archives = recorder.archives
        self.size = len(content)
        self._content = content if self.size <= _COMPARED else b""
        self._digest = b"" if self._content else hashlib.sha256(content).digest()
        #: Bytes that are kept because of it.
        self.kept = recorder.size + len(self._content)

    def begins(self, content: bytes) -> bool:
        """Whether *content* is this initrd, or this one with something appended."""
        if content is self._content:
            return True
        if len(content) < self.size:
            return False
        if self._content:
            begins = content.startswith(self._content)
            if begins and len(content) == self.size:
                self._content = content  # what is asked for next need not be compared
            return begins
        return hashlib.sha256(memoryview(content)[: self.size]).digest() == self._digest


#: The newest last.
_known: list[_Known] = []
#: The thread that unpacks ahead, while it runs.
_ahead: list[Thread] = []
#: What the current run has spent.
_budget = Budget()


def begin_run() -> None:
    """Another guest is opened: what was spent on others does not count."""
    global _budget  # noqa: PLW0603 (a process makes one run after the other)
    _await_ahead()
    _budget = Budget()
    _known[:] = [known for known in _known if not known.found.unreadable]


def find(guest: Guest) -> Iterator[str]:
    """The physical path of every initrd: what a boot entry names, and what is called like one."""
    named = (path for path in named_files(guest) if guest.is_file(path))
    for path in dict.fromkeys((*files_at(guest, PATTERNS, sys.maxsize), *named)):
        if detect(guest.read(path, 16)) is not None:
            yield path


def surveys(guest: Guest, needles: Sequence[bytes]) -> Mapping[str, Survey]:
    """What every initrd of *guest* holds, by physical path; see :func:`look_into`."""
    return {path: look_into(guest.read(path, SIZE_LIMIT), needles) for path in find(guest)}


def look_ahead(guest: Guest) -> None:
    """Begin to unpack the initrds of *guest*, while others have to be waited for.

    Unpacking needs no guest and, most of the time, no interpreter.
    """
    contents = []
    room = _AHEAD_LIMIT
    with suppress(OSError):  # planning meets the error again, and reports it
        for path in find(guest):
            stat = guest.stat(path)
            if stat is not None and stat.size <= room:
                contents.append(guest.read(path, SIZE_LIMIT))
                room -= stat.size
    if contents:
        _await_ahead()
        _ahead.append(Thread(target=_unpack, args=(contents,), daemon=True))
        _ahead[0].start()


def look_into(content: bytes, needles: Sequence[bytes], *, read: Collection[str] = ()) -> Survey:
    """What the initrd *content* holds, and where any of *needles* is in it.

    There may be hits of further needles, which were asked for before. *read* names members whose
    contents are wanted in any case. *content* of :data:`SIZE_LIMIT` bytes is not looked into:
    there may be more of it.
    """
    _await_ahead()
    if len(content) >= SIZE_LIMIT:
        why = f"it is too large: no more than {SIZE_LIMIT // 1024**2} MiB are read"
        return Survey(len(content), (), {}, (), {}, 0, why, frozenset())
    return _look_into(content, needles, read)


def _await_ahead() -> None:
    while _ahead:
        _ahead[0].join()
        _ahead.pop()


def _unpack(contents: list[bytes]) -> None:
    while contents:
        _look_into(contents.pop(0), ())


def _look_into(content: bytes, needles: Sequence[bytes], read: Collection[str] = ()) -> Survey:
    known = max((k for k in _known if k.begins(content)), key=lambda k: k.size, default=None)
    same = known is not None and known.size == len(content)
    if known is not None:
        _known.remove(known)  # what something was appended to is not asked for again
    answered = known and known.asked.issuperset(needles) and known.read.issuperset(read)
    # What cannot be read is not tried again for other needles: nothing is concluded from it.
    given_up = known and known.found.unreadable
    if known is None or not same or not (answered or given_up):
        if not same or known is None or known.budget is not _budget:
            _budget.meet(content)
        known = _Known(content, needles, known.archives if known else (), read)
    _known.append(known)
    _forget_old()
    return known.found


def _forget_old() -> None:
    """Keep the newest, and of the others as many as there is room for."""
    kept = 0
    for count, known in enumerate(reversed(_known)):
        kept += known.kept
        if count and (kept > _KEPT or count == _REMEMBERED):
            del _known[: len(_known) - count]
            return
