"""Correct an initrd by appending to it: one small archive whose members override others.

Nothing is repacked: what is there stays as it is, byte for byte. Ours is compressed like the
archive it follows, because the tools that list an initrd (lsinitramfs, lsinitrd) hand all of it to
one decompressor, and because before Linux commit 2c484419efc0 only lz4 could follow lz4; where
that cannot be done it is plain. An archive of ours that is already there is replaced by one that
holds its members too, so correcting again does not grow.

A name cannot be taken away by appending, only given other contents. Where an identifier is in a
*name*, the member is added under its new name, and the old name becomes an empty regular file
(for a file with further hard links, which emptying would empty as well: a symlink to /dev/null):

- a shell hook that is empty does nothing, successfully (dracut's initqueue/finished hooks);
- a systemd unit file that is empty or /dev/null is masked; an empty file or /dev/null in a
  ``.wants`` or ``.requires`` directory is a dependency that is ignored, and in a ``.d``
  directory, a drop-in without effect;
- a directory stays, with nothing effective in it.

References: Linux init/initramfs.c (clean_path: a member of another type takes the place of what
is there; do_name: a regular file is cut off and written anew); systemd.unit(5) on masked units,
systemd src/core/load-dropin.c (process_deps; since v233); lib/decompress_unlz4.c.
"""

from __future__ import annotations

import posixpath
import stat
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.sanitize.boot import cpio
from unclone.sanitize.boot.compression import Compression, compress
from unclone.sanitize.boot.cpio import normal
from unclone.sanitize.boot.initrd import (
    BOOTCONFIG,
    KEPT_LIMIT,
    OUR_MARK,
    Hit,
    Place,
    Survey,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from unclone.sanitize.boot.archives import Segment

#: A plain archive begins at a multiple of this, counted from the beginning of the initrd.
_ALIGNMENT = 4
_NULL = b"/dev/null"


class Action(StrEnum):
    """What became of a member."""

    CONTENT = "content corrected"
    TARGET = "target corrected"
    RENAMED = "added under its new name, the old name emptied"
    MOVED = "renamed"  # it was in our own archive only
    COPIED = "directory added under its new name, the old one stays"
    LEFT = "left as it is"


@dataclass(frozen=True, slots=True)
class Change:
    """What was done about one member, for the report. ``new_path`` where it has one."""

    path: str
    action: Action
    new_path: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """The corrected initrd: the first *keep* bytes of the old one, then *tail*."""

    keep: int
    tail: bytes
    changes: tuple[Change, ...] = ()

    def applied(self, data: bytes | memoryview) -> bytes:
        """The corrected initrd as a whole."""
        return b"".join([data[: self.keep], self.tail])


def correct(
    data: bytes | memoryview, survey: Survey, rewrite: Callable[[bytes], bytes]
) -> Correction:
    """Pass the contents, names and targets of all members with hits through *rewrite*.

    *survey* must be of the same *data*; members without a hit are not looked at. When nothing
    changes, the correction keeps all of *data*. Raises ``RefusedError`` for an initrd that could
    not be read to its end: what is appended to it might never be unpacked.
    """
    _check(data, survey)
    entries, changes = _own(survey), []
    for path in dict.fromkeys(hit.path for hit in survey.hits if not _is_unused(survey, hit)):
        change = _corrected(path, survey, rewrite, entries)
        if change is not None:
            changes.append(change)
    if all(change.action is Action.LEFT for change in changes):
        return Correction(len(data), b"", tuple(changes))
    return _written(data, survey, entries, tuple(changes))


def overridden(
    data: bytes | memoryview, survey: Survey, contents: Mapping[str, bytes]
) -> Correction:
    """Give the members named in *contents* (files, or targets of symlinks) other contents.

    Everything else about them stays. Hard links of one another change together, as files do.
    Raises ``KeyError`` for a member that does not exist, and
    ``RefusedError`` as ``correct`` does.
    """
    _check(data, survey)
    entries, changes = _own(survey), []
    for path, content in contents.items():
        if len(content) > KEPT_LIMIT:
            raise ValueError(f"{len(content)} bytes are too many for a correction")
        header = survey.members[path].header
        entries[path] = (header, content)
        action = Action.TARGET if header.is_symlink else Action.CONTENT
        changes.append(Change(path, action))
    return _written(data, survey, entries, tuple(changes))


def replaced(
    data: bytes | memoryview, survey: Survey, members: Mapping[str, tuple[int, bytes]]
) -> Correction:
    """Give *members* (by path) another type of inode (``S_IFREG``, ``S_IFLNK``) and content.

    Of a hard link only the name given is replaced. Permissions stay. Raises as ``overridden``.
    """
    _check(data, survey)
    entries, changes = _own(survey), []
    for path, (kind, content) in members.items():
        header = survey.members[path].header
        mode = kind | (0o777 if stat.S_ISLNK(kind) else stat.S_IMODE(header.mode))
        entries[path] = (header._replace(mode=mode), content)
        changes.append(Change(path, Action.CONTENT if header.is_file else Action.TARGET))
    return _written(data, survey, entries, tuple(changes))


def caveat(survey: Survey) -> str:
    """What a person should know before relying on an appended archive; "" when nothing."""
    if Compression.LZ4 in survey.compressions:
        return "this lz4 format (the modern frame) is unpacked by no kernel"
    return ""


# -- helpers -------------------------------------------------------------------------------
_Entries = dict[str, tuple[cpio.Header, bytes]]


def _check(data: bytes | memoryview, survey: Survey) -> None:
    if survey.size != len(data):
        raise ValueError("the survey is of another initrd")
    if survey.unreadable:
        raise RefusedError(
            f"the initrd cannot be corrected: {survey.unreadable}",
            "Have the guest make a new initrd after it has booted, or keep the identifiers.",
        )


def _own_segment(survey: Survey) -> Segment | None:
    last = survey.segments[-1] if survey.segments else None
    return last if last is not None and last.ours else None


def _own(survey: Survey) -> _Entries:
    """The members of the archive of ours that is going to be replaced."""
    if _own_segment(survey) is None:
        return {}
    last = len(survey.segments) - 1
    return {
        path: (member.header, survey.contents.get(path, b""))
        for path, member in survey.members.items()
        if member.segment == last
    }


def _is_unused(survey: Survey, hit: Hit) -> bool:
    """Whether *hit* is the name of what an earlier correction has emptied: nothing reads that."""
    member = survey.members.get(hit.path)
    return (
        hit.place is Place.NAME
        and hit.harmless
        and member is not None
        and not member.header.is_directory
    )


def _corrected(
    path: str, survey: Survey, rewrite: Callable[[bytes], bytes], entries: _Entries
) -> Change | None:
    if path == BOOTCONFIG:
        return Change(path, Action.LEFT, reason="a boot config is not edited")
    member = survey.members[path]
    header = member.header
    content = survey.contents.get(path)
    if content is None:
        if header.size:
            return Change(path, Action.LEFT, reason=f"it is {header.size} bytes large")
        content = b""
    new_name, new_content = rewrite(header.name), rewrite(content)
    new_path = normal(new_name)
    if new_path == path:
        if new_content == content:
            return None
        entries[path] = (header, new_content)
        return Change(path, Action.TARGET if header.is_symlink else Action.CONTENT)
    if header.is_directory and new_path in survey.members:
        return None
    entries[new_path] = (header._replace(name=new_name), new_content)
    if path not in survey.base_names:
        entries.pop(path, None)
        return Change(path, Action.MOVED, new_path)
    if header.is_directory:
        return Change(path, Action.COPIED, new_path)
    entries[path] = _emptied(header, shared=member.shared)
    return Change(path, Action.RENAMED, new_path)


def _emptied(header: cpio.Header, *, shared: bool) -> tuple[cpio.Header, bytes]:
    if shared:
        return header._replace(mode=stat.S_IFLNK | 0o777), _NULL
    permissions = stat.S_IMODE(header.mode) if header.is_file else 0o644
    return header._replace(mode=stat.S_IFREG | permissions), b""


def _written(
    data: bytes | memoryview, survey: Survey, entries: _Entries, changes: tuple[Change, ...]
) -> Correction:
    own = _own_segment(survey)
    others = survey.segments[:-1] if own is not None else survey.segments
    keep = others[-1].end if others else 0
    archive = _archive(survey, entries)
    packed = compress(archive, others[-1].compression) if others else None
    tail = packed if packed is not None else bytes(-keep % _ALIGNMENT) + archive
    behind = bytes(data[survey.end :])
    if behind.strip(b"\0"):
        # A boot config may rely on its alignment.
        tail += bytes((survey.end - keep - len(tail)) % _ALIGNMENT)
    return Correction(keep, tail + behind, changes)


def _archive(survey: Survey, entries: _Entries) -> bytes:
    entries = _missing_parents(survey, entries) | entries
    # Directories before what is in them, and shallow ones first.
    ordered = sorted(
        entries.values(), key=lambda entry: (not entry[0].is_directory, normal(entry[0].name))
    )
    members = [
        cpio.member(
            header._replace(ino=number, nlink=1, devmajor=0, devminor=0, check=OUR_MARK),
            content,
        )
        for number, (header, content) in enumerate(ordered, start=1)
    ]
    return b"".join(members) + cpio.trailer(OUR_MARK)


def _missing_parents(survey: Survey, entries: _Entries) -> _Entries:
    """Directories of members that got a new name; without them the kernel creates nothing."""
    missing: _Entries = {}
    for path, (header, _) in entries.items():
        parent = posixpath.dirname(path)
        while parent and not any(parent in known for known in (survey.members, entries, missing)):
            name = parent.encode("utf-8", "surrogateescape")
            missing[parent] = (cpio.Header(name, stat.S_IFDIR | 0o755, mtime=header.mtime), b"")
            parent = posixpath.dirname(parent)
    return missing
