"""Other files of a machine that have to go with its definition: copied, or made to agree."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from images.errors import RefusedError, UsageError
from images.files import create_private, draft_path, explained, sync_directory, sync_file
from images.image import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: More than any firmware's variables. In bytes.
LIMIT = 256 * 2**20


class Companion(Protocol):
    """One file that appears, or is changed, together with the new definition."""

    @property
    def target(self) -> Path:
        """The file that appears or is changed."""

    def describe(self) -> str:
        """For the report: what is done to which file."""

    def check(self, *, overwrite: bool) -> None:
        """Raise when :meth:`apply` would fail. Changes nothing; called for all before any apply."""

    def apply(self, *, overwrite: bool) -> None:
        """Do it, durably: complete or not at all."""

    def undo(self) -> None:
        """Take back what :meth:`apply` did, because something after it failed."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A small file that the new machine needs a copy of its own of (UEFI variables)."""

    source: Path
    target: Path

    def describe(self) -> str:
        return f"{shown(self.source)} copied to {shown(self.target)}"

    def check(self, *, overwrite: bool) -> None:
        if not self.source.is_file():
            raise RefusedError(f"{shown(self.source)} is not a file", hint="Name another.")
        if self.source.stat().st_size > LIMIT:
            raise RefusedError(
                f"{shown(self.source)} is too large for what it should be",
                hint="Is it the file that the definition means?",
            )
        require_free(self.target, self.source, overwrite=overwrite)

    def apply(self, *, overwrite: bool) -> None:
        with appearing(self.target, like=self.source, overwrite=overwrite) as file:
            file.write(self.source.read_bytes())

    def undo(self) -> None:
        self.target.unlink(missing_ok=True)


def require_free(target: Path, source: Path, *, overwrite: bool) -> None:
    """Raise UsageError when a file made from *source* cannot appear as *target*."""
    hint = "Name another file, remove this one first, or give --overwrite."
    if not target.parent.is_dir():
        raise UsageError(f"the folder of {shown(target)} does not exist", hint="Make it first.")
    if not target.exists() and not target.is_symlink():
        return
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{shown(target)} is the source itself", hint="Name another file.")
    if not overwrite or target.is_symlink() or not target.is_file():
        raise UsageError(f"{shown(target)} already exists", hint=hint)


@contextmanager
def appearing(target: Path, *, like: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that appears as *target* at the end, complete, durable and as readable as *like*.

    Without *overwrite* a file that somebody else has put there in the meantime is not replaced.
    """
    draft = draft_path(target)
    with explained(f"write {shown(target)}", target.parent):
        draft.unlink(missing_ok=True)
        try:
            create_private(draft, like=like)
            with draft.open("r+b") as file:
                yield file
            shutil.copymode(like, draft)
            sync_file(draft)
            if overwrite:
                draft.replace(target)
            else:
                target.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(target.parent)
