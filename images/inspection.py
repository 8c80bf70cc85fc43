"""Looking at images without changing them: an overlay in a temporary directory, thrown away.

An engine may have to replay a journal before it can read a file system; it does so in there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from images import overlay
from images.errors import UncloneError
from images.transaction import Disk, Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Inspection(Transaction):
    """A transaction without a commit. The images may be read-only, and open in other readers."""

    def __init__(
        self, disks: Sequence[Disk], directory: Path, *, allow: Sequence[Path] = ()
    ) -> None:
        """Prepare to look at *disks*; the overlays go to *directory*, a private temporary one."""
        super().__init__(disks, allow=allow)
        self._directory = directory

    def _begin(self) -> None:
        self.images = self._read(writable=False)
        for path, image in zip(self._left_overs(), self.images, strict=True):
            overlay.create(path, image, locked=False)
            self.overlays += (path,)

    def _commit(self) -> None:
        raise UncloneError("an inspection changes nothing, so there is nothing to commit")

    def _left_overs(self) -> Sequence[Path]:
        return [
            self._directory / f"{number}.unclone-overlay.qcow2"
            for number, _ in enumerate(self._disks)
        ]
