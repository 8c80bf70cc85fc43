"""Other files of a machine that have to go with its definition: copied, or made to agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from images.errors import RefusedError, UsageError
from images.files import create_private, draft_path, explained, sync_directory, sync_file
from images.image import shown

if TYPE_CHECKING:
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

    def apply(self) -> None:
        """Do it, durably: complete or not at all."""


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A small file that the new machine needs a copy of its own of (UEFI variables)."""

    source: Path
    target: Path

    def describe(self) -> str:
        return f"{shown(self.source)} copied to {shown(self.target)}"

    def check(self, *, overwrite: bool) -> None:
        if not self.source.is_file():
            raise RefusedError(f"{shown(self.source)} is not a file")
        if self.source.stat().st_size > LIMIT:
            raise RefusedError(f"{shown(self.source)} is too large for what it should be")
        if self.target.is_symlink() or (self.target.exists() and not overwrite):
            raise UsageError(
                f"{shown(self.target)} already exists",
                hint="Remove it first, or give --overwrite.",
            )
        if self.target.exists() and self.target.samefile(self.source):
            raise UsageError(f"{shown(self.target)} is {shown(self.source)} itself")
        if not self.target.parent.is_dir():
            raise UsageError(f"the folder of {shown(self.target)} does not exist")

    def apply(self) -> None:
        draft = draft_path(self.target)
        with explained(f"write {shown(self.target)}", self.target.parent):
            draft.unlink(missing_ok=True)
            try:
                create_private(draft, like=self.source)
                draft.write_bytes(self.source.read_bytes())
                draft.chmod(self.source.stat().st_mode & 0o777)
                sync_file(draft)
                draft.rename(self.target)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
            sync_directory(self.target.parent)
