"""What a removed file held and is still there: under other hard links, and behind a symlink.

Removing a name, or putting a new file in its place, leaves the inode to its other names
(unlink(2), rename(2)); removing a symlink leaves what it led to. Before a change, what it removes
is noted; after all changes, the guest is walked for it. A file is known again by its size and a
digest of its content, so plain copies are found with it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unclone.images.volumes import Kind
from unclone.sanitize import boot_view
from unclone.sanitize.change import ON_DEVICES
from unclone.sanitize.residue import REMOVED_FILE, Residue
from unclone.sanitize.search_places import mounted_again

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.change import Change

#: The actions after which an inode may have other names with the old content. The others write
#: to the inode itself, so that all of its names change.
_LEAVING = frozenset({"clear", "remove", "generate-ssh-host-key"})

#: Bytes; a larger file is data: no secret or identifier is so large.
SIZE_LIMIT = 1024 * 1024
#: Names in a removed tree, files with other names in it, and bytes of these, that are looked at.
#: What is beyond is told.
IN_TREE, FILES, BYTES = 300_000, 20_000, 256 * 1024 * 1024
#: Names in the guest among which the others are looked for.
MOST_NAMES = 300_000

#: What packages bring, and what is made anew at each boot.
_NOT_OWN = ("/usr/", "/lib/", "/lib64/", "/bin/", "/sbin/", "/run/", "/dev/", "/proc/", "/sys/")


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A file before its name *path* was removed.

    ``names`` are those that it will still have. ``target`` is where a removed symlink led; when
    that is a directory, it has no digest. A *path* that ends in a slash is a tree with more in it
    than is looked at.
    """

    path: str
    size: int
    digest: bytes
    names: int
    target: str = ""


def note(
    guest: Guest, change: Change, before: Collection[LeftBehind] = ()
) -> tuple[LeftBehind, ...]:
    """What *change*, which is not yet carried out, will leave behind; files of content only.

    *before* is what the changes before it left: their other names may be removed now.
    """
    sizes = {left.size for left in before}
    if change.action not in _LEAVING:
        return tuple(_changed_in_place(guest, change, sizes))
    found = guest.lstat(change.target)
    if found is None:
        return ()
    if found.kind is Kind.DIRECTORY:
        return tuple(_in_tree(guest, change.target, sizes))
    if found.kind is Kind.SYMLINK:
        led = guest.stat(change.target)
        target = guest.resolve(change.target) if led else ""
        if not led or target.startswith(_NOT_OWN):
            return ()
        if led.kind is Kind.DIRECTORY:
            return (LeftBehind(change.target, 0, b"", 0, target),)
        noted = _noted(guest, change.target, led.size, 0) if led.kind is Kind.FILE else None
        return (replace(noted, target=target),) if noted else ()
    if found.kind is not Kind.FILE or (found.links < 2 and found.size not in sizes):
        return ()
    noted = _noted(guest, change.target, found.size, found.links - 1)
    return (noted,) if noted else ()


def find(guest: Guest, noted: Iterable[LeftBehind]) -> Sequence[Residue]:
    """What of *noted*, in the order of the changes, is in the changed *guest*; sorted by path.

    A name that was not found is an entry with the path "".
    """
    noted = list(noted)
    links = {left.target: left for left in noted if left.target}
    at = {path: left for path, left in links.items() if _holds(guest, path, left)}
    # The last note of a file says how many names are left after all of the changes.
    shared = {(left.size, left.digest): left for left in noted if not left.target}
    shared = {key: left for key, left in shared.items() if left.names > 0}
    missing = Counter({key: left.names for key, left in shared.items()})
    for path, key in _walk(guest, shared):
        at[path] = shared[key]
        missing[key] -= 1
        if not +missing:
            break
    opened = boot_view.files_read(guest, devices=False) if at else {}
    found = [
        Residue(REMOVED_FILE, left.path, path, 0, read_at_boot=path in opened)
        for path, left in at.items()
    ]
    found += [
        Residue(REMOVED_FILE, path, "", 0, read_at_boot=False)
        for path in (
            *(shared[key].path for key in +missing),
            *(left.path for left in noted if left.path.endswith("/")),
        )
    ]
    return sorted(found, key=lambda residue: (residue.path, residue.value))


def _changed_in_place(guest: Guest, change: Change, sizes: Collection[int]) -> Iterator[LeftBehind]:
    """The file that *change* writes to, when it may be one that has lost a name before."""
    found = guest.stat(change.target) if sizes and change.action not in ON_DEVICES else None
    if found is not None and found.kind is Kind.FILE and found.size in sizes:
        noted = _noted(guest, change.target, found.size, 0)
        yield from (noted,) if noted else ()


def _in_tree(guest: Guest, folder: str, sizes: Collection[int]) -> Iterable[LeftBehind]:
    """The files of several names below *folder*, without the names that it holds."""
    noted: dict[tuple[int, bytes], LeftBehind] = {}
    room = BYTES
    for number, member in enumerate(guest.walk(folder, limit=0)):
        stat = member.stat
        if number >= IN_TREE or len(noted) >= FILES or room < 0:
            return (*noted.values(), LeftBehind(f"{folder}/", 0, b"", 0))
        if stat.kind is not Kind.FILE or (stat.links < 2 and stat.size not in sizes):
            continue
        left = _noted(guest, member.path, stat.size, stat.links - 1)
        if left:
            room -= left.size
            key = left.size, left.digest
            before = noted.get(key)
            noted[key] = replace(before, names=before.names - 1) if before else left
    return noted.values()


def _noted(guest: Guest, path: str, size: int, names: int) -> LeftBehind | None:
    if not 0 < size <= SIZE_LIMIT:
        return None
    return LeftBehind(path, size, _digest(guest, path), names)


def _walk(
    guest: Guest, wanted: Mapping[tuple[int, bytes], LeftBehind]
) -> Iterator[tuple[str, tuple[int, bytes]]]:
    sizes = {size for size, _ in wanted}
    members = guest.walk("/", exclude=mounted_again(guest), limit=0) if wanted else ()
    for number, member in enumerate(members):
        if number >= MOST_NAMES:
            return
        if member.stat.kind is Kind.FILE and member.stat.size in sizes:
            key = member.stat.size, _digest(guest, member.path)
            if key in wanted:
                yield member.path, key


def _holds(guest: Guest, path: str, left: LeftBehind) -> bool:
    if not left.digest:
        return bool(guest.list(path))
    stat = guest.stat(path)
    same = stat is not None and stat.kind is Kind.FILE and stat.size == left.size
    return same and _digest(guest, path) == left.digest


def _digest(guest: Guest, path: str) -> bytes:
    return hashlib.sha256(guest.read(path, SIZE_LIMIT)).digest()
