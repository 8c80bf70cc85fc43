"""Other files of a machine that have to go with its definition: copied, or made to agree."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from unclone.images.errors import RefusedError, UsageError
from unclone.images.files import create_private, explained, short_name, sync_directory, sync_file
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: More than any firmware's variables. In bytes.
LIMIT = 256 * 2**20


class AssociatedFile(Protocol):
    """A file that appears, or is changed, with the new definition: both, or neither."""

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

    Without *overwrite* a file that another process has put there in the meantime is not replaced.
    """
    # A name of its own: another run may be writing the same target.
    draft = target.with_name(f".{short_name(target.name)}.{os.urandom(6).hex()}.new")
    with explained(f"write {shown(target)}", target.parent):
        try:
            create_private(draft, like=like)
            with draft.open("r+b") as file:
                yield file
            draft.chmod(like.stat().st_mode & 0o777 | 0o600)
            sync_file(draft)
            if overwrite:
                draft.replace(target)
            else:
                _link(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(target.parent)


def _link(draft: Path, target: Path) -> None:
    """Give *draft* the name *target*, unless something else has it."""
    try:
        target.hardlink_to(draft)
    except FileExistsError:
        raise UsageError(
            f"{shown(target)} has just been written by another process",
            hint="Name another file, or look whether it is the one you want.",
        ) from None
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise
        draft.replace(target)  # a file system without hard links: it was free a moment ago
