"""A transaction for a dry run: overlays in a temporary directory, which are discarded.

The images and their directories are only read. It refuses what the real transaction would refuse
before it writes anything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from unclone.images.errors import Outcome
from unclone.images.interrupts import deferred
from unclone.images.temporary_folders import new_folder, remove
from unclone.images.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.images.image import Image


class Rehearsal(Transaction):
    """A transaction with the disks and checks of *real*; a commit changes nothing."""

    def __init__(self, real: Transaction) -> None:
        super().__init__(real.disks, allow=real.allow)
        self._real = real
        self._directory: Path | None = None
        self._directory_lock = -1

    def _begin(self) -> None:
        self.images = self._read(writable=False)
        self.warnings = tuple(self._real.check(self.images))
        with deferred():
            self._directory, self._directory_lock = new_folder()
        for number, image in enumerate(self.images):
            path = self._directory / f"disk-{number}.qcow2"
            self._overlay(path, image, locked=False)
            self.overlays += (path,)

    @property
    def outcome(self) -> Outcome:
        """Always ``UNCHANGED``."""
        return Outcome.UNCHANGED

    def check(self, images: Sequence[Image]) -> Sequence[str]:
        return self._real.check(images)

    def _commit(self) -> None:
        """Nothing to do: the overlays are removed at the end."""

    def _left_overs(self) -> Sequence[Path]:
        return self.overlays

    def _end(self) -> None:
        with deferred():
            super()._end()
            if self._directory is not None:
                remove(self._directory)
                os.close(self._directory_lock)
                self._directory = None
