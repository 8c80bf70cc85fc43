"""What an engine is: a way to open the disks of one guest as ``Volumes``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from unclone.images.image import blockdev, file_node

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from unclone.images.image import Image
    from unclone.images.volumes import Volumes

#: Given a printable description of a LUKS container, the keys to try, as bytes. It is called only
#: when there is such a container, so it may ask the user.
Keys = Callable[[str], Iterable[bytes]]

#: Takes one line for the user who is waiting.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Drive:
    """One disk as it is passed to an engine. ``format`` is QEMU's name for it, never guessed.

    ``image`` is what the disk holds until the engine writes to it, when that is known: the image
    under an untouched overlay, or the image itself.
    """

    path: Path
    format: str
    image: Image | None = None
    #: A pinned name of the overlay at ``path``, where there is one.
    pin: Path | None = None
    #: Whether this process keeps every other user from ``image``, so that QEMU needs no lock.
    locked: bool = False

    @property
    def name(self) -> Path:
        """What to open the disk's own file by."""
        if self.is_overlay or self.image is None:
            return self.pin or self.path
        return self.image.names[0]

    @property
    def is_overlay(self) -> bool:
        """Whether ``path`` is an overlay of ``image``."""
        return self.image is not None and self.path != self.image.path

    @property
    def node(self) -> dict[str, Any]:
        """QEMU's description of the disk, with everything under it where ``image`` is known."""
        node = {"driver": self.format, "file": file_node(self.name, locked=False)}
        if self.image is None:
            return node
        below = blockdev(self.image, locked=self.locked)
        return {**node, "backing": below} if self.is_overlay else below


class Engine(Protocol):
    """A way to open a guest."""

    #: What ``--engine`` calls it.
    name: str

    def start_ahead(self) -> AbstractContextManager[None]:
        """Start the programs that ``open`` will need, while the caller does something else.

        Those that were not used have ended at the end of the ``with`` block. Raises nothing: what
        cannot be started is reported by ``open``.
        """

    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> AbstractContextManager[Volumes]:
        """Open *drives* with every container on them (LUKS, LVM, MD); nothing is mounted.

        Leaving the block normally writes everything to the drives and raises when that fails;
        leaving it by an exception closes them without waiting for anything.
        """


def no_keys(_: str) -> Iterable[bytes]:
    """The :data:`Keys` of a caller without any."""
    return ()
