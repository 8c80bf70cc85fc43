"""What was found on disks, remembered until their files change.

An entry is for one set of image files with their backing files: which files they are (device and
inode), their sizes, both times, and the digest of how each begins. The time of the last change of
an inode cannot be set, so another content means another entry. An entry is written when nothing
changed while the disks were read. It holds values that identify machines: nobody else may read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unclone import __version__
from unclone.images.errors import UncloneError
from unclone.images.files import settled_state, temporary_directory
from unclone.sanitize.audit.values import Found
from unclone.sanitize.catalogue import built_in_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.image import Image

#: Raised when the same disks would give other values.
VERSION = 4
#: Bytes of a file's start that are part of the key: headers and partition tables.
_START = 64 * 1024
#: Entries, of which the oldest go first.
_MOST = 5_000


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/unclone/audit``."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if configured.startswith("/"):  # the specification says to ignore a relative one
        return Path(configured, "unclone", "audit")
    with suppress(RuntimeError):  # no home directory
        return Path.home() / ".cache" / "unclone" / "audit"
    return Path(temporary_directory(), f"unclone-{os.geteuid()}", "audit")


def key_of(images: Sequence[Image], *opened: object) -> str:
    """What names the content of *images* now, *opened* so; "" when they are being written."""
    state: list[object] = [VERSION, __version__, *opened]
    state += [hashlib.sha256(text.encode()).hexdigest() for _, text in built_in_files()]
    for path in (path for image in images for each in image.chain for path in each.files):
        numbers = settled_state(path)
        if not numbers:
            return ""
        with path.open("rb") as file:
            start = hashlib.sha256(file.read(_START)).hexdigest()
        state += [*numbers, start]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def recall(folder: Path, key: str) -> tuple[list[Found], list[str]] | None:
    """The values and notes of the entry *key*; None where there is none that can be read."""
    if not key:
        return None
    path = folder / key
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if os.fstat(handle).st_uid != os.geteuid():
                return None
            document = json.loads(file.read())
        values = [Found(k, v, p, h, int(s)) for k, v, p, h, s in document["values"]]
        notes = [str(note) for note in document["notes"]]
        os.utime(path)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return values, notes


def remember(folder: Path, key: str, values: Sequence[Found], notes: Sequence[str]) -> None:
    """Keep what was found. Not being able to is no error."""
    if not key:
        return
    document = {"values": [tuple(each) for each in values], "notes": list(notes)}
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(document, file)
            Path(temporary).replace(folder / key)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def prune(folder: Path) -> None:
    """Remove the entries that have not been of use for longest, where there are very many."""
    with suppress(OSError, UncloneError):
        entries = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in entries[:-_MOST]:
            path.unlink(missing_ok=True)
