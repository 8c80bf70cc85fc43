"""Temporary folders: locked by their run, and removed by a later run when that was killed.

The direct engine has its scratch files in one; a dry run has its overlays in another.

Reference: flock(2).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from unclone.images.files import explained, temporary_directory
from unclone.images.interrupts import deferred

_PREFIX = "unclone-direct-"
_LOCK = "lock"
_DRAFT = "lock.new"
#: Seconds after which a folder without a lock is a left-over, not one that is being made.
_AGE = 3600.0
#: The files of a run there.
_FILES = ("disk*", "scratch*", "dirty-map*", "socket*", "copy", "variables*")


def clean_up() -> int:
    """Remove the folders of killed runs of this user; return their number."""
    return sum(map(_clean_up, temporary_directory().glob(f"{_PREFIX}*")))


def _clean_up(folder: Path) -> bool:
    """Remove *folder* if its run was killed."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return False
        old = time.time() - found.st_mtime > _AGE
        if old and not any(folder.iterdir()):
            folder.rmdir()
            return True
        given_up = old and (folder / _DRAFT).exists()
        name = _DRAFT if given_up else _LOCK
        lock = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False  # it is being made or removed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with deferred():
            remove(folder)
    except BlockingIOError:
        return False  # its run has not ended
    finally:
        os.close(lock)
    return True


def new_folder() -> tuple[Path, int]:
    """Make a private folder; return it and the descriptor of its lock. Raises UncloneError."""
    temporary = temporary_directory()
    with explained("make a temporary folder", temporary):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temporary))
        # The lock file is locked before it is renamed: another run removes folders without a lock.
        draft = folder / _DRAFT
        try:
            lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            draft.rename(folder / _LOCK)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return folder, lock


def remove(folder: Path) -> None:
    """Remove *folder* and the files of a run in it."""
    ours = [file for form in _FILES for file in folder.glob(form)]
    for entry in [*ours, folder / _DRAFT, folder / _LOCK]:
        entry.unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # two runs clean up at the same time
        folder.rmdir()
