"""What else writes a machine-id at boot: the files that units, scripts and cron jobs take one from.

A copy in a file means nothing until something puts it into ``/etc/machine-id``, which systemd
then keeps (machine-id(5)). Looked for is the command that writes there; what it reads may come
from any path that is named beside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.sanitize import boot_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest

#: Jobs, of which some start when the machine does: crontab(5), ``@reboot``.
CRON = ("/etc/anacrontab", "/etc/crontab", "/etc/cron.d", "/var/spool/cron")

_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
#: Such a file, or a directory that it is copied into with others.
_PLACE = r"/(?:etc|var/lib/dbus)?(?:/(?:\.|machine-id)?)?"
_COMMAND = r"\b(?:cp|dd|install|ln|mount|mv|rsync|scp|tar|tee)\b[^\n;|&]*[\s\"']"
_END = r"[\"']?(?=\s*(?:\d?[-;|&<>)}#\\]|$))"
_WRITTEN = re.compile(
    rf"(?m)^(?!\s*#).*?(?:(?:>\|?\s*|{_COMMAND})[\"']?{_PLACE}{_END}|\bof=[\"']?{_PLACE}(?![^\s\"']))"
)
_PATH = re.compile(r"(?<![\w/.])/[^\s'\";|&()<>]+")
#: Bytes of a unit or script; and files of which one names so many, that are looked at.
_LIMIT, _MOST = 1024 * 1024, 1000


def sources(guest: Guest, opened: Iterable[str]) -> frozenset[str]:
    """The physical path of each file that one of *opened*, a unit or a job may take the id from."""
    jobs = guest.search(CRON, [b"/"], limit=_LIMIT)
    # Also those of packages: an image's builder may put a unit beside them.
    units = list(guest.search(boot_view.FOLDERS, [b"Exec"], limit=_LIMIT))
    scripts = [named for unit in units for named in boot_view.named_by(guest, unit)]
    found = set()
    for path in dict.fromkeys((*opened, *units, *scripts, *jobs)):
        text = guest.text_or_empty(path, _LIMIT)
        if _WRITTEN.search(text):
            named = dict.fromkeys(_PATH.findall(text))
            found |= {each for name in list(named)[:_MOST] for each in _files(guest, name)}
    return frozenset(found.difference(_IDS))


def _files(guest: Guest, name: str) -> Iterator[str]:
    """The file called *name*, or those in the directory that would become the machine's."""
    top = re.sub(r"/[.*]?$", "", name)
    for path in (name, f"{top}/machine-id", *(f"{top}{each}" for each in _IDS)):
        if guest.is_file(path):
            yield guest.resolve(path)
