"""What else writes a machine-id at boot: the files that units, scripts and cron jobs take one from.

A copy in a file means nothing until something puts it into ``/etc/machine-id``, which systemd
then keeps (machine-id(5)). Looked for is the command that writes there; what it reads may come
from any path that is named beside it.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
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
#: Bytes of a unit or script; files of which one names so many, that are looked at; and scripts, of
#: which one may start the next.
_LIMIT, _MOST, _MOST_SCRIPTS = 1024 * 1024, 1000, 1000


@dataclass(frozen=True, slots=True)
class Written:
    """Physical paths: of what *starts* with the machine, and of what the id is taken from.

    What writes an id may have it in its own text, and so is among the *sources*.
    """

    started: frozenset[str]
    sources: frozenset[str]


def find(guest: Guest, opened: Iterable[str]) -> Written:
    """What *opened*, units and jobs start, and from which files one of them takes the id."""
    jobs = guest.search(CRON, [b"/"], limit=_LIMIT)
    # Also those of packages: an image's builder may put a unit beside them.
    units = list(guest.search(boot_view.FOLDERS, [b"Exec"], limit=_LIMIT))
    scripts = [named for unit in units for named in boot_view.named_by(guest, unit)]
    started: set[str] = set()
    found: set[str] = set()
    waiting = deque(dict.fromkeys((*opened, *units, *scripts, *jobs)))
    most = len(waiting) + _MOST_SCRIPTS
    while waiting and len(started) < most:
        name = waiting.popleft()
        if not guest.is_file(name) or (path := guest.resolve(name)) in started:
            continue
        started.add(path)
        text = guest.text_or_empty(path, _LIMIT)
        named = list(dict.fromkeys(_PATH.findall(text)))[:_MOST]
        if _WRITTEN.search(text):
            found |= {path, *(each for name in named for each in _files(guest, name))}
        if text.startswith("#!"):
            waiting += [name for name in named if _is_script(guest, name)]
    return Written(frozenset(started), frozenset(found.difference(_IDS)))


def _is_script(guest: Guest, name: str) -> bool:
    """Whether a script may start what is called *name*, or read its commands."""
    return guest.is_file(name) and (name.endswith(".sh") or guest.read(name, 2) == b"#!")


def _files(guest: Guest, name: str) -> Iterator[str]:
    """The file called *name*, or those in the directory that would become the machine's."""
    top = re.sub(r"/[.*]?$", "", name)
    for path in (name, f"{top}/machine-id", *(f"{top}{each}" for each in _IDS)):
        if guest.is_file(path):
            yield guest.resolve(path)
