"""The commit marker: once it exists, an interrupted run is finished instead of discarded.

One JSON file beside the first disk lists every disk of the run. Beside each further disk a pointer
names the first, so that the run is found from any of its disks. Only the marker decides: it is
written by rename after the pointers, set to "finished" before any overlay is removed, and removed
last.

A marker is trusted only for disks in its own directory and for disks whose pointer names it, and
only for the files that the run began with (inode number and time of birth).
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unclone.images.errors import RefusedError
from unclone.images.files import Identity, identity, write_durably
from unclone.images.formats.header import Format
from unclone.images.overlay import journal_path
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_VERSION = 1
_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One disk of a run."""

    image: Path
    format: Format
    identity: Identity


@dataclass(frozen=True, slots=True)
class Pointer:
    """The journal beside a further disk: the first disk of the run."""

    first: Path


@dataclass(frozen=True, slots=True)
class Marker:
    """The journal beside the first disk: all disks, and whether every overlay was written."""

    entries: tuple[Entry, ...]
    finished: bool = False


def write(entries: Sequence[Entry]) -> None:
    """Mark the run over *entries* as committed, durably. The marker is written last."""
    first = entries[0].image
    for entry in entries[1:]:
        pointer = {"version": _VERSION, "first": _spelled(first, entry.image)}
        _write(entry.image, pointer)
    _write_marker(entries, "committed")


def write_finished(entries: Sequence[Entry]) -> None:
    """Mark the run over *entries* as finished: only its temporary files are left to remove."""
    _write_marker(entries, "finished")


def read(image: Path) -> Marker | Pointer | None:
    """The journal beside *image*; None when there is none, or it is incomplete or invalid.

    Raises RefusedError for one that cannot be read or was written by another version.
    """
    try:
        found = json.loads(_content(journal_path(image)))
        if found["version"] != _VERSION:
            raise RefusedError(
                f"{shown(journal_path(image))} was written by another version of unclone",
                hint="Finish the interrupted run with that version.",
            )
        if "first" in found:
            return Pointer(_path(found["first"], image))
        if found["state"] not in {"committed", "finished"} or not found["disks"]:
            return None
        entries = tuple(_entry(disk, image) for disk in found["disks"])
        return Marker(entries, finished=found["state"] == "finished")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def marker_of(image: Path) -> tuple[Marker, Path] | None:
    """The marker of the run that *image* is part of, and its first disk; None without one."""
    first = image
    found = read(image)
    if isinstance(found, Pointer):
        first, found = found.first, read(found.first)
    if not isinstance(found, Marker):
        return None
    if first != image and all(entry.image != image for entry in found.entries):
        return None  # a pointer to a later run without this image
    return found, first


def followers(marker: Marker, first: Path) -> list[Path]:
    """The further disks of the run whose journals still exist."""
    images = [entry.image for entry in marker.entries if entry.image != first]
    return [image for image in images if image.is_file() and read(image) == Pointer(first)]


def require_rights(entries: Sequence[Entry], first: Path) -> None:
    """Raise RefusedError unless the journal beside *first* is to be trusted for all *entries*.

    Others may be able to write to the directory of a journal, and a directory can be copied: an
    overlay must not be written into a file that only has the same name.
    """
    journal = shown(journal_path(first))
    if entries[0].image != first:
        raise _foreign(f"{journal} belongs to {shown(entries[0].image)}, not to {shown(first)}")
    for entry in entries:
        image = entry.image
        if image.parent != first.parent and read(image) != Pointer(first):
            raise _foreign(f"{journal} names {shown(image)}, which does not belong to its run")
        if not image.is_file() or image.is_symlink():
            raise _foreign(f"{journal} names {shown(image)}, which is not there any more")
        require_identity(entry, image, first)


def require_identity(entry: Entry, name: Path, first: Path) -> None:
    """Raise RefusedError unless the file *name* is the one that *entry* identifies."""
    if identity(name) != entry.identity:
        raise _foreign(
            f"{shown(entry.image)} is not the file that {shown(journal_path(first))} was written "
            "for: another file has taken its name"
        )


def renamed_from(image: Path) -> Iterator[Path]:
    """Journals in the directory of *image* for the same file under another name."""
    inode = image.stat().st_ino
    for path in sorted(image.parent.glob(".*.unclone-journal.json")):
        name = path.name.removeprefix(".").removesuffix(".unclone-journal.json")
        if not name.strip(".") or path == journal_path(image):
            continue
        found = read(image.with_name(name))
        if not isinstance(found, Marker) or found.finished:
            continue
        same = [entry for entry in found.entries if entry.identity.inode == inode]
        if same and identity(image) in {entry.identity for entry in same}:
            yield path


def _foreign(message: str) -> RefusedError:
    return RefusedError(
        message,
        hint="Nothing was changed. The image may be incomplete: put the original file back, or "
        "restore it from a backup and remove the journal and the overlay beside it.",
    )


def _write_marker(entries: Sequence[Entry], state: str) -> None:
    first = entries[0].image
    disks = [
        {
            "image": _spelled(entry.image, first),
            "format": str(entry.format),
            "inode": entry.identity.inode,
            "birth": entry.identity.birth,
        }
        for entry in entries
    ]
    _write(first, {"version": _VERSION, "state": state, "disks": disks})


def _write(image: Path, value: object) -> None:
    content = json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"
    write_durably(journal_path(image), content, like=image)


def _content(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise RefusedError(
            f"{shown(path)} cannot be read: {error.strerror}",
            hint="Run as the owner of the image or with sudo.",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise RefusedError(f"{shown(path)} is not a regular file", hint="Look at it.")
        return file.read(_LIMIT)


def _entry(disk: Mapping[str, Any], base: Path) -> Entry:
    found = Identity(int(disk["inode"]), str(disk["birth"]))
    return Entry(_path(disk["image"], base), Format(disk["format"]), found)


def _spelled(path: Path, base: Path) -> str:
    """*path* for a journal: its bare name in the directory of *base*, which may then be moved."""
    return path.name if path.parent == base.parent else str(path)


def _path(spelled: str, base: Path) -> Path:
    if "/" not in spelled:
        return base.with_name(spelled)  # ValueError for "", "." and the like
    if spelled != os.path.realpath(spelled):
        raise ValueError(spelled)
    return Path(spelled)
