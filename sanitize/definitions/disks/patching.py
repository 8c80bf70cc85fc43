"""Copied disks that get identifiers of their own: bytes changed in place, nothing moved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.images.files import explained
from unclone.images.image import open_image, real_path, require_writable
from unclone.images.lock import ImageLock
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from unclone.sanitize.definitions.associated_files import AssociatedFile


@dataclass(frozen=True, slots=True)
class Patch:
    """The bytes *old* at *offset* become *new*, which are as many."""

    offset: int
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class PatchedDisk:
    """A disk whose identifiers are changed in place."""

    target: Path
    patches: tuple[Patch, ...]
    what: str  # "CID, ddb.uuid"

    def describe(self) -> str:
        return f"{shown(self.target)} gets ids of its own: {self.what}"

    def check(self, *, overwrite: bool) -> None:  # noqa: ARG002 (nothing is replaced)
        path = real_path(self.target)
        require_writable(path)
        with ImageLock() as lock:
            lock.exclusive([path])

    def apply(self, *, overwrite: bool) -> None:  # noqa: ARG002
        self._write([(patch.offset, patch.old, patch.new) for patch in self.patches])

    def undo(self) -> None:
        self._write([(patch.offset, patch.new, patch.old) for patch in self.patches])

    def _write(self, changes: Iterable[tuple[int, bytes, bytes]]) -> None:
        path = real_path(self.target)
        with (
            ImageLock() as lock,
            explained(f"change the ids of {shown(path)}", path.parent),
        ):
            lock.exclusive([path])
            with path.open("r+b") as file:
                for offset, old, new in changes:
                    file.seek(offset)
                    if file.read(len(old)) != old:
                        raise UncloneError(
                            f"{shown(path)} has changed in the meantime",
                            hint="Wait until it is copied, and try again.",
                        )
                    file.seek(offset)
                    file.write(new)
                file.flush()
                os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class ManualStep:
    """A disk whose ids cannot be changed here and now: the report says what a person has to do."""

    target: Path
    instruction: str

    def describe(self) -> str:
        return f"{shown(self.target)}: {self.instruction}"

    def check(self, *, overwrite: bool) -> None:
        """Nothing is done, so nothing can fail."""

    def apply(self, *, overwrite: bool) -> None:
        """There is nothing to do it to."""

    def undo(self) -> None:
        """Nothing was done."""


def with_own_ids(
    original: Path,
    copy: Path,
    patches: Callable[[BinaryIO, Path], tuple[Patch, ...]],
    *,
    what: str,
    awaited: str,
) -> AssociatedFile:
    """*copy* with ids of its own. *patches* finds their places in the open file.

    Raises UsageError when the copy is the original itself, RefusedError from *patches*.
    """
    if not copy.exists():
        return ManualStep(copy, f"is not there yet: {awaited}")
    if original.exists() and original.samefile(copy):
        raise UsageError(
            f"{shown(copy)} is the source's own disk", hint="Copy it first, and name the copy."
        )
    path = real_path(copy)
    with open_image(path) as file:
        found = patches(file, path)
    return PatchedDisk(copy, found, what)


def read_exactly(file: BinaryIO, offset: int, size: int, path: Path) -> bytes:
    """*size* bytes at *offset*. Raises RefusedError when the file is shorter."""
    file.seek(offset)
    found = file.read(size)
    if len(found) < size:
        raise RefusedError(f"{shown(path)} ends within its header", hint="Is it copied completely?")
    return found
