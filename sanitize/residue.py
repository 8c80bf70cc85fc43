"""The residue scan: whether an old identifier is still somewhere in the guest.

What a rule rewrote, its own action verifies. This scan is for what no rule knows: it reads every
file in the places where configuration, boot and state live, and looks for every spelling of every
retired identifier, in contents and in names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from images.volumes import Kind
from sanitize.spellings import spellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from images.guest import Guest
    from sanitize.change import Retired

#: Where identity is kept. Programs and package data (/usr) are the same on every machine.
ROOTS = ("/etc", "/boot", "/efi", "/var/lib", "/var/spool", "/root", "/usr/local/etc")

#: Below the roots, and as large as the guest itself: package databases, other machines' images.
EXCLUDED = (
    "/var/lib/apt/lists",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/lib/docker/image",
    "/var/lib/docker/overlay2",
    "/var/lib/dpkg",
    "/var/lib/flatpak",
    "/var/lib/libvirt/images",
    "/var/lib/lxc",
    "/var/lib/lxd",
    "/var/lib/machines",
    "/var/lib/plocate",
    "/var/lib/rpm",
    "/var/lib/snapd/snaps",
    "/usr/lib/sysimage/rpm",
)

#: What the next boot reads: an old identifier left here is an error, elsewhere a warning.
READ_AT_BOOT = re.compile(
    r"/(boot|efi)/|/etc/(machine-id|fstab|crypttab|kernel/|default/grub|cmdline\.d/|systemd/)"
    r"|/var/lib/dbus/machine-id"
)

#: Bytes; larger files are data, not configuration, and are not read.
CONTENT_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Residue:
    """An old identifier found after the change. ``line`` is 1-based; 0 means the path itself."""

    kind: str
    value: str
    path: str
    line: int
    read_at_boot: bool


def find_residue(guest: Guest, retired: Sequence[Retired]) -> Sequence[Residue]:
    """Every place below :data:`ROOTS` that still holds one of *retired*, sorted by path."""
    owners = {spelled: old for old in retired for spelled in spellings(old.value)}
    if not owners:
        return ()
    needles = sorted(owners)
    pattern = re.compile(b"|".join(map(re.escape, needles)))
    found: dict[Residue, None] = {}
    for path in guest.search(ROOTS, needles, exclude=EXCLUDED, limit=CONTENT_LIMIT):
        at_boot = READ_AT_BOOT.match(path) is not None
        for spelled, line in _matches(guest, path, pattern):
            old = owners[spelled]
            found[Residue(old.kind, old.value, path, line, at_boot)] = None
    return sorted(found, key=lambda r: (r.path, r.line, r.kind))


def _matches(guest: Guest, path: str, pattern: re.Pattern[bytes]) -> Iterator[tuple[bytes, int]]:
    """Spelling and line of everything that *pattern* matches in what *path* is."""
    kind = stat.kind if (stat := guest.lstat(path)) else Kind.OTHER
    name = path.rsplit("/", 1)[-1]
    texts = [name, guest.readlink(path)] if kind is Kind.SYMLINK else [name]
    for text in texts:
        for match in pattern.finditer(text.encode("utf-8", "surrogateescape")):
            yield match.group(), 0
    content = guest.read(path, CONTENT_LIMIT) if kind is Kind.FILE else b""
    for match in pattern.finditer(content):
        yield match.group(), content.count(b"\n", 0, match.start()) + 1
