"""The interface of engines, which open the disks of one guest as ``Volumes``."""

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

#: Takes a printable description of a LUKS container, returns the keys to try. It is called only
#: when there is such a container, so it may ask the user.
Keys = Callable[[str], Iterable[bytes]]

#: Takes a line of text for the user who is waiting.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Drive:
    """One disk for an engine. ``format`` is QEMU's name of the format of ``path``.

    ``image`` is the content of the disk before the engine writes to it, where that is known: the
    image below a new overlay, or the image itself.
    """

    path: Path
    format: str
    image: Image | None = None
    #: A pinned name of the overlay at ``path``, where there is one.
    pin: Path | None = None
    #: Whether this process holds exclusive locks on ``image``, so that QEMU takes none.
    locked: bool = False

    @property
    def name(self) -> Path:
        """The name by which to open the file of the disk itself."""
        if self.is_overlay or self.image is None:
            return self.pin or self.path
        return self.image.names[0]

    @property
    def is_overlay(self) -> bool:
        """Whether ``path`` is an overlay of ``image``."""
        return self.image is not None and self.path != self.image.path

    @property
    def node(self) -> dict[str, Any]:
        """The BlockdevOptions of the disk, with its backing chain where ``image`` is known."""
        node = {"driver": self.format, "file": file_node(self.name, locked=False)}
        if self.image is None:
            return node
        below = blockdev(self.image, locked=self.locked)
        return {**node, "backing": below} if self.is_overlay else below


class Engine(Protocol):
    """Opens guests. Methods raise EngineError when the engine fails."""

    #: What ``--engine`` calls it.
    name: str

    def start_ahead(self) -> AbstractContextManager[None]:
        """Start the programs that ``open`` will need, while the caller does other work.

        Programs that were not used are ended at the end of the block. Raises nothing: ``open``
        reports what cannot be started.
        """

    def open(
        self, drives: Sequence[Drive], *, keys: Keys, read_only: bool, say: Say
    ) -> AbstractContextManager[Volumes]:
        """Open *drives* with every container on them (LUKS, LVM, MD); nothing is mounted.

        Leaving the block normally writes everything to the drives and raises when that fails;
        leaving it by an exception closes them at once, unfinished.
        """


def no_keys(_: str) -> Iterable[bytes]:
    """A :data:`Keys` function for a caller without keys."""
    return ()
