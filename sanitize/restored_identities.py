"""What brings an identity back: programs that start with the machine and write it from a file.

A copy of the old machine-id or of a host key means nothing until something puts it into
``/etc/machine-id``, which systemd then keeps (machine-id(5)), or into ``/etc/ssh``. Looked for is a
command that writes there, in what the boot, its jobs and a login of root start; what it reads may
come from any path that is named beside it.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from unclone.sanitize import boot_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.guest import Guest

#: Beside what the boot itself opens (``boot_view``): whatever runs as root, now or later.
_STARTED = (
    # crontab(5), ``@reboot``; anacron(8); atd(8)
    "/etc/anacrontab",
    "/etc/crontab",
    *(f"/etc/cron.{each}" for each in ("d", "hourly", "daily", "weekly", "monthly")),
    "/var/spool/at",
    "/var/spool/cron",
    # cloud-init: modules scripts-per-boot, write-files, bootcmd and runcmd
    "/etc/cloud",
    "/var/lib/cloud/scripts",
    "/var/lib/cloud/seed",
    # A network that comes up: dhclient-script(8), pppd(8), networkd-dispatcher(8)
    "/etc/dhcp",
    "/etc/networkd-dispatcher",
    "/etc/ppp",
    # A login: bash(1), pam_motd(8), sshd(8)
    *("/etc/bash.bashrc", "/etc/bashrc", "/etc/profile", "/etc/profile.d", "/etc/update-motd.d"),
    *(f"/root/.{each}" for each in ("bash_login", "bash_profile", "bashrc", "profile", "zshrc")),
    "/etc/ssh/sshrc",
    # Package managers and systemd-sleep(8)
    *("/etc/apt/apt.conf.d", "/etc/logrotate.d", "/usr/lib/systemd/system-sleep"),
)
#: What a unit or a rule of udev(7) has that starts something.
_STARTS = (b"Exec", b"RUN", b"PROGRAM", b"IMPORT")

_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_KEYS = "ssh_host_*_key"
#: The file of an id, or a directory that it is copied into with others; and those of host keys.
_ID_PLACE = r"/(?:etc|var/lib/dbus)?(?:/(?:\.|machine-id)?)?"
_KEY_PLACE = r"/(?:etc(?:/(?:ssh(?:/(?:\.|ssh_host_\w+)?)?)?)?)?"
_COMMAND = re.compile(r"\b(?:cp|dd|install|ln|mount|mv|rsync|scp|tar|tee)\b")
_BETWEEN = re.compile(r"[;|&]")
_END = r"[\"']?(?=\s*(?:\d?[-;|&<>)}#\\]|$))"
#: A variable for such a place, as a shell assigns it.
_ASSIGNED = re.compile(
    r"(?m)^[ \t]*(?:(?:export|local|readonly)[ \t]+)?(\w+)=[\"']?(/(?:etc|var/lib/dbus)[\w./-]*)"
)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_MENTIONED = re.compile(r"(?m)^(?![ \t]*#[^\n]).*?/(?:etc|var/lib/dbus)/machine-id(?![\w.-])")
_WILD = re.compile(r"[*?\[]")
_PATH = re.compile(r"(?<![\w/.])/[^\s'\";|&()<>]+")
#: Bytes of a unit or script; files of which one names so many, that are looked at; and scripts, of
#: which one may start the next.
_LIMIT, _MOST, _MOST_SCRIPTS = 1024 * 1024, 1000, 1000


class _Writing:
    """What writes at *place*: a redirection, or the last word of a command that copies.

    Each line is looked through a few times, and not once for each word: it may be long.
    """

    def __init__(self, place: str) -> None:
        self._target = re.compile(rf">\|?[ \t]*[\"']?{place}{_END}|\bof=[\"']?{place}(?![^\s\"'])")
        self._word = re.compile(rf"[\s\"'][\"']?{place}{_END}")

    def is_in(self, text: str) -> bool:
        """Whether *text* has such a command, in no comment."""
        return any(self._is_in_line(line) for line in text.split("\n"))

    def _is_in_line(self, line: str) -> bool:
        if line.lstrip().startswith("#"):
            return False
        if self._target.search(line):
            return True
        return any(
            self._word.search(part, command.end())
            for part in _BETWEEN.split(line)
            if (command := _COMMAND.search(part))
        )


_ID_WRITING, _KEY_WRITING = _Writing(_ID_PLACE), _Writing(_KEY_PLACE)


@dataclass(frozen=True, slots=True)
class Restored:
    """Physical paths.

    ``ids`` and ``keys`` are files that a machine-id or host keys are taken from. ``speaking`` are
    programs that name the file of the machine-id: what they have in their own text may be written.
    Host keys are also taken from where the shell's ``patterns`` match.
    """

    started: frozenset[str]
    speaking: frozenset[str]
    ids: frozenset[str]
    keys: frozenset[str]
    patterns: Sequence[str]

    def has_key(self, path: str) -> bool:
        """Whether host keys may be taken from *path*."""
        return path in self.keys or any(fnmatchcase(path, each) for each in self.patterns)


def find(guest: Guest, opened: Iterable[str]) -> Restored:
    """What *opened*, units and jobs start, and from which files one of them takes an identity."""
    jobs = [*filter(guest.is_file, _STARTED), *guest.search(_STARTED, [b"/"], limit=_LIMIT)]
    # Also those of packages: an image's builder may put a unit beside them.
    units = guest.search(boot_view.FOLDERS, _STARTS, limit=_LIMIT)
    waiting = deque(dict.fromkeys((*opened, *units, *jobs)))
    most = len(waiting) + _MOST_SCRIPTS
    started, speaking = set[str](), set[str]()
    ids, keys, patterns = set[str](), set[str](), list[str]()
    while waiting and len(started) < most:
        name = waiting.popleft()
        if not guest.is_file(name) or (path := guest.resolve(name)) in started:
            continue
        started.add(path)
        text = _expanded(guest.text_or_empty(path, _LIMIT))
        named = [*_beside(path), *dict.fromkeys(_PATH.findall(text))][:_MOST]
        if _MENTIONED.search(text):
            speaking.add(path)
        if _ID_WRITING.is_in(text):
            ids |= {each for name in named for each in _ids(guest, name)}
        if _KEY_WRITING.is_in(text):
            wide = [name for name in named if _WILD.search(name.rpartition("/")[0])]
            patterns += wide  # of which a guest could make us read all of it
            keys |= {path, *(each for name in {*named} - {*wide} for each in _keys(guest, name))}
        waiting += [name for name in named if boot_view.is_own(guest, name)]
    return Restored(
        frozenset(started),
        frozenset(speaking),
        frozenset(ids.difference(_IDS)),
        frozenset(keys),
        tuple(dict.fromkeys(patterns[:_MOST])),
    )


def _expanded(text: str) -> str:
    """*text* with the places that shell variables stand for."""
    places: dict[str, str] = dict(_ASSIGNED.findall(text))
    return _VARIABLE.sub(lambda match: places.get(match[1] or match[2], match[0]), text)


def _beside(path: str) -> Sequence[str]:
    """What an init script reads without naming it: openrc-run(8)."""
    name = path.removeprefix("/etc/init.d/")
    return () if name == path else (f"/etc/conf.d/{name}", "/etc/rc.conf")


def _ids(guest: Guest, name: str) -> Iterator[str]:
    """The file called *name*, or those in the directory that would become the machine's."""
    top = _top(name)
    for path in (name, f"{top}/machine-id", *(f"{top}{each}" for each in _IDS)):
        if guest.is_file(path):
            yield guest.resolve(path)


def _keys(guest: Guest, name: str) -> Iterator[str]:
    """As :func:`_ids`, of host keys; *name* may be a pattern of the shell's in its last part."""
    top = _top(name)
    below = (f"{top}{each}/{_KEYS}" for each in ("", "/ssh", "/etc/ssh"))
    for pattern in (name, *(each for each in below if not each.startswith("/etc/ssh/"))):
        for path in guest.glob(pattern):
            if guest.is_file(path):
                yield guest.resolve(path)


def _top(name: str) -> str:
    return re.sub(r"/[.*]?$", "", name)
