"""Machines made in a hidden folder that no other attempt has; later they get their names.

An executor may do what it was given twice, or two workers at once: one that was taken for dead
wakes up. Each attempt therefore writes where nobody else does, and only one of them is told to
give its machines their names, which is a rename. The others are swept away.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unclone.images.errors import UncloneError, UsageError
from unclone.images.files import explained, sync_directory, sync_file_system
from unclone.images.text import printable, shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

_SUFFIX = ".unclone-attempt"
#: The run that an attempt belongs to, and the attempt.
_NAME = re.compile(r"\.(?P<owner>[0-9a-f]{16,48})\.(?P<token>[0-9a-f]{16})" + re.escape(_SUFFIX))


class Attempt:
    """One attempt to make machines in *folder*, for the run *owner* (hexadecimal digits)."""

    def __init__(self, folder: Path, owner: str) -> None:
        self.folder = folder
        self.name = f".{owner}.{secrets.token_hex(8)}{_SUFFIX}"
        with explained("make machines", folder):
            self._work.mkdir(mode=0o700)

    @property
    def _work(self) -> Path:
        return self.folder / self.name

    def path(self, name: str) -> Path:
        """The folder that the machine *name* will have."""
        return self.folder / name

    def hidden(self, name: str) -> Path:
        """The folder in which the machine *name* is made."""
        return self._work / name

    def begin(self, name: str) -> Path:
        """The folder of the machine *name*, empty, whatever was made of it before."""
        hidden = self.hidden(name)
        shutil.rmtree(hidden, ignore_errors=True)
        with explained("make the machine's folder", self.folder):
            hidden.mkdir(mode=0o700)
        return hidden

    def drop(self, name: str) -> None:
        """Take away what was made of the machine *name*."""
        shutil.rmtree(self.hidden(name), ignore_errors=True)

    @contextmanager
    def making(self, name: str, *, replace: bool) -> Iterator[Path]:  # noqa: ARG002 (as Batch's)
        """As :meth:`batch.Batch.making`, but the machine gets no name yet."""
        hidden = self.begin(name)
        try:
            yield hidden
        except BaseException:
            self.drop(name)
            raise

    def sync(self) -> None:
        """Make what was made durable, with one flush of its file system."""
        sync_file_system(self.folder)


def require_name(name: str) -> None:
    """Raise UsageError for what is no attempt's name: it becomes a path."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{printable(name, 100)} is no attempt")


def publish(folder: Path, attempt: str, names: Sequence[str]) -> None:
    """Give the machines *names* of *attempt* their names; again, where it was interrupted.

    Raises UncloneError for one that is not there, or whose name something else has.
    """
    require_name(attempt)
    for name in names:
        publish_one(folder, attempt, name)
    with explained("write the machine", folder):
        sync_directory(folder)
    shutil.rmtree(folder / attempt, ignore_errors=True)


def waits(folder: Path, attempt: str, name: str) -> bool:
    """Whether the machine *name* of *attempt* is there, without its name."""
    return (folder / attempt / name).exists()


def publish_one(folder: Path, attempt: str, name: str) -> None:
    """Give one machine of *attempt* its name; the others stay. Raises UncloneError."""
    made, path = folder / attempt / name, folder / name
    with explained("write the machine", folder):
        if made.exists():
            if path.exists() or path.is_symlink():
                raise UsageError(f"{shown(path)} has just been made by another run")
            made.rename(path)
        elif not path.exists():
            raise UncloneError(f"{shown(made)} is gone", hint="Run again: it is made anew.")


def sweep(folder: Path, owner: str, spare: Collection[str] = ()) -> list[str]:
    """Take away the attempts in *folder* of runs that begin with *owner*, but for *spare*.

    Those are runs that live, and single attempts whose machines still wait for their names.
    Returns the names of what was taken away.
    """
    gone = []
    for entry in os.scandir(folder) if folder.is_dir() else ():
        named = _NAME.fullmatch(entry.name)
        if named is None or not named["owner"].startswith(owner):
            continue
        if named["owner"] not in spare and entry.name not in spare:
            shutil.rmtree(entry.path, ignore_errors=True)
            gone.append(entry.name)
    return gone
