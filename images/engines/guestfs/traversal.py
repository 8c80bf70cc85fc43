"""Walking and searching trees of the guest, by ``find`` and ``grep`` in the appliance.

A walk is one ``find`` for all names and inodes, then one call for the content of each file. It
takes about as long as one tar stream of everything, but reads only the wanted part of a large file,
and the caller may call other operations in between, or stop. A search returns names only; it is one
script, because starting a program takes longer there than its work.

References: find(1) ``-printf``, ``-path``, ``-name``, ``-lname``, ``-size`` (it never follows a
symlink below its starting point by default); grep(1) ``-F``, ``-l``, ``-Z``; xargs(1), all of GNU.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs.appliance import shell_value
from unclone.images.engines.guestfs.native import encode
from unclone.images.errors import EngineError
from unclone.images.volumes import Kind, Member, Stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.guestfs.appliance import Appliance

#: Type, mode, owner, group, size, links, name, and text of a symlink: each ended by a null byte.
_FORMAT = r"%y\0%m\0%U\0%G\0%s\0%n\0%P\0%l\0"
_FIELDS = 8

_KINDS = {b"f": Kind.FILE, b"d": Kind.DIRECTORY, b"l": Kind.SYMLINK}

#: Bytes of find's output in one message, which has at most 4 MiB; base64 adds a third.
_PIECE = 2_900_000

#: Bytes of the names that a search finds; more is an error.
_NAMES_LIMIT = 2_900_000

_LISTING = "/tmp/unclone-walk"  # noqa: S108  (in the appliance, which has no other users)


def walk(
    appliance: Appliance, path: str, *, exclude: Sequence[str], limit: int
) -> Iterator[Member]:
    """As :meth:`unclone.images.volumes.Volumes.walk`."""
    base = path.rstrip("/")
    for fields in _fields(_listing(appliance, path, exclude)):
        letter, mode, uid, gid, size, links, name, target = fields
        kind = _KINDS.get(letter, Kind.OTHER)
        found = Stat(kind, int(mode, 8), int(uid), int(gid), int(size), int(links))
        member = f"{base}/{name.decode('utf-8', 'surrogateescape')}"
        if kind is Kind.FILE:
            count = min(found.size, limit)
            yield Member(member, found, content=_content(appliance, member, count))
        else:
            yield Member(member, found, link_target=target.decode("utf-8", "surrogateescape"))


def search(
    appliance: Appliance,
    paths: Sequence[str],
    needles: Sequence[bytes],
    *,
    exclude: Sequence[str],
    limit: int,
) -> Sequence[str]:
    """As :meth:`unclone.images.volumes.Volumes.search`."""
    if not paths or not needles:
        return []
    prepare, prune = _pruning(exclude)
    script = [prepare]
    tops, patterns, names = [], [], []
    for number, path in enumerate(paths):
        script.append(shell_value(f"top{number}", b"/sysroot" + encode(path)))
        tops.append(f'"$top{number}"')
    for number, needle in enumerate(needles):
        escaped = re.sub(rb"([\\*?\[\]])", rb"\\\1", needle)
        script.append(shell_value(f"n{number}", needle))
        script.append(shell_value(f"g{number}", b"*" + escaped + b"*"))
        patterns.append(f'-e "$n{number}"')
        names.append(f'-name "$g{number}" -o -lname "$g{number}"')
    find = f"find {' '.join(tops)} -mindepth 1 {prune}"
    script.append(
        rf"{{ {find}\( {' -o '.join(names)} \) -print0; "
        f"{find}-type f -size -{limit + 1}c -print0 "
        f"| LC_ALL=C xargs -0 -r grep -F -l -Z -s {' '.join(patterns)} --; }} "
        f"| head -c {_NAMES_LIMIT} | base64 -w0"
    )
    found = base64.b64decode(appliance.shell("".join(script)))
    if len(found) >= _NAMES_LIMIT:
        raise EngineError("an old identifier is in more files than can be listed")
    hits = found.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return sorted({hit.removeprefix("/sysroot") for hit in hits})


def _listing(appliance: Appliance, path: str, exclude: Sequence[str]) -> bytes:
    """The output of find, written to a file in the appliance and read in pieces."""
    prepare, prune = _pruning(exclude)
    script = [shell_value("top", b"/sysroot" + encode(path)), prepare]
    script.append(
        f"find \"$top\" -mindepth 1 {prune}-printf '{_FORMAT}' >{_LISTING} || exit 1; "
        f"stat -c %s {_LISTING}; head -c {_PIECE} {_LISTING} | base64 -w0"
    )
    size, _, piece = appliance.shell("".join(script)).partition(b"\n")
    listing = bytearray(base64.b64decode(piece))
    while len(listing) < int(size):
        piece = appliance.shell(
            f"tail -c +{len(listing) + 1} {_LISTING} | head -c {_PIECE} | base64 -w0"
        )
        if not piece:
            raise EngineError("the list of files was cut short in the appliance")
        listing += base64.b64decode(piece)
    return bytes(listing)


def _pruning(exclude: Sequence[str]) -> tuple[str, str]:
    """Shell commands that set variables, and the arguments of find that skip *exclude*."""
    values, tests = [], []
    for number, folder in enumerate(exclude):
        pattern = re.sub(rb"([\\*?\[\]])", rb"\\\1", b"/sysroot" + encode(folder.rstrip("/")))
        values.append(shell_value(f"e{number}", pattern))
        tests.append(f'-path "$e{number}"')
    prune = rf"\( {' -o '.join(tests)} \) -prune -o " if tests else ""
    return "".join(values), prune


def _fields(listing: bytes) -> Iterator[Sequence[bytes]]:
    values = listing.split(b"\0")[:-1]
    for start in range(0, len(values), _FIELDS):
        yield values[start : start + _FIELDS]


def _content(appliance: Appliance, path: str, count: int) -> bytes:
    return appliance.call(lambda: appliance.native.read(path, count)) if count else b""
