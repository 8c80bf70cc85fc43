"""From the path patterns of a row to what is really there, and safe to touch.

A pattern is a guest path with ``*``, ``?`` and ``[...]`` per component, and two additions:

- ``~/`` at the start stands for every home directory: root's, those below ``/home``, and those
  that ``/etc/passwd`` names.
- ``/etc/**/*~`` stands for every regular file of that name below ``/etc``, at any depth.

What is found is physical: no component before the last is a symlink. A pattern that meets a
symlinked directory leads somewhere its author did not mean (``/etc/ipa -> /etc`` would turn
``/etc/ipa/*`` into everything in ``/etc``), so such a match is reported and not changed, except
through the few links that distributions themselves make.
"""

from __future__ import annotations

import fnmatch
import glob
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.guest import parent
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from unclone.images.guest import Guest

#: Symlinked directories that are the same place by the distribution's own design.
#: References: file-hierarchy(7) for /var/run and /var/lock; OSTree "Adapting existing
#: mainstream distributions" for /home, /root, /srv and /opt.
SAME_PLACE = (
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
    ("/home", "/var/home"),
    ("/root", "/var/roothome"),
    ("/srv", "/var/srv"),
    ("/opt", "/var/opt"),
)


class Found(NamedTuple):
    """Sorted paths: physical ``targets``, and matches that lie ``behind_links`` (of folders)."""

    targets: tuple[str, ...]
    behind_links: tuple[str, ...]


def find(
    guest: Guest, patterns: Iterable[str], spared: Sequence[str] = (), homes: int | None = None
) -> Found:
    """Everything that *patterns* match; trees in *spared* (physical paths) are not searched.

    Given *homes*, only so many home directories are looked into.
    """
    targets: set[str] = set()
    behind_links: dict[str, str] = {}
    search = _Search(guest, spared, homes)
    for pattern in patterns:
        for spelled in search.expand(pattern):
            folder = guest.resolve(parent(spelled))
            physical = f"{folder.rstrip('/')}/{spelled.rsplit('/', 1)[-1]}"
            if folder in _spellings(parent(spelled)):
                targets.add(physical)
            else:
                behind_links[spelled] = physical
    lost = {spelled for spelled, physical in behind_links.items() if physical not in targets}
    return Found(tuple(sorted(targets)), tuple(sorted(lost)))


def any_exists(guest: Guest, patterns: Iterable[str]) -> bool:
    """Whether something matches one of *patterns*, wherever symlinks lead."""
    search = _Search(guest, ())
    return any(True for pattern in patterns for _ in search.expand(pattern))


def outermost(targets: Iterable[str]) -> list[str]:
    """*targets* without those inside another: removing a folder covers what is in it."""
    kept: list[str] = []
    for path in sorted(targets, key=lambda p: p.split("/")):
        if not kept or not path.startswith(f"{kept[-1]}/"):
            kept.append(path)
    return sorted(kept)


def inside(path: str, folders: Iterable[str]) -> bool:
    """Whether *path* is one of *folders*, or below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def around(guest: Guest, target: str, spared: Sequence[str]) -> Iterator[str]:
    """*target*, or, when something inside it is spared, everything in it but that."""
    if target in spared:
        return
    if not any(path.startswith(f"{target}/") for path in spared):
        yield target
        return
    for name in guest.list(target):
        yield from around(guest, f"{target}/{name}", spared)


class _Search:
    """One search of a guest; what several patterns need is read once."""

    def __init__(self, guest: Guest, spared: Sequence[str], homes: int | None = None) -> None:
        self._guest = guest
        self._spared = spared
        self._most = homes
        self._files: dict[str, Sequence[str]] = {}

    def expand(self, pattern: str) -> Iterator[str]:
        """The paths that match *pattern*, spelled as it spells them."""
        if pattern.startswith("~/"):
            for home in self._homes:
                yield from self._guest.glob(glob.escape(home) + pattern[1:])
        elif "/**/" in pattern:
            above, name = pattern.split("/**/")
            for folder in self._guest.glob(above):
                for path in self._below(folder):
                    if fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], name):
                        yield path
        else:
            yield from self._guest.glob(pattern)

    @cached_property
    def _homes(self) -> Sequence[str]:
        """Physical home directories. Those of system accounts count: a deploy key is a key."""
        guest = self._guest
        named = ["/root", *guest.glob("/home/*")]
        if guest.is_file("/etc/passwd"):
            fields = (line.split(":") for line in guest.read_text("/etc/passwd").splitlines())
            homes = {f[5] for f in fields if len(f) >= 7 and f[5].startswith("/")}
            named += [path for home in homes for path in guest.glob(glob.escape(home))]
        return sorted({guest.resolve(home) for home in named if guest.is_dir(home)} - {"/"})[
            : self._most
        ]

    def _below(self, folder: str) -> Sequence[str]:
        if folder not in self._files:
            physical = self._guest.resolve(folder)
            self._files[folder] = [
                folder + member.path.removeprefix(physical)
                for member in self._guest.walk(folder, exclude=self._spared, limit=0)
                if member.stat.kind is Kind.FILE
            ]
        return self._files[folder]


def _spellings(folder: str) -> set[str]:
    """*folder* as it is spelled, and as the distribution may have moved it."""
    moved = {
        real + folder.removeprefix(spelled)
        for spelled, real in SAME_PLACE
        if folder == spelled or folder.startswith(f"{spelled}/")
    }
    return {folder, *moved}
