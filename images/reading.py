"""Looking at images without changing them: locked against writers for as long as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ReadOnly(Transaction):
    """The images themselves, sound and held still. There are no overlays, and nothing to commit."""

    def _begin(self) -> None:
        self.images = self._read(writable=False)

    def _commit(self) -> None:
        """Nothing was changed."""

    def _left_overs(self) -> Sequence[Path]:
        return ()
