"""A disk, from wherever its bytes are fastest to have.

What nobody has written to yet is what the image holds, and is read there. Everything else goes
through the file by which QEMU shows the disk: each call there takes a round through the kernel and
another process, some thirty times as long.
"""

from __future__ import annotations

import os

from unclone.images.engines.direct.access.changed import Changed
from unclone.images.engines.direct.access.clusters import Clusters, Layer, UnreadableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


class Place:
    """Where a disk of *size* bytes is to be found; it goes to other processes.

    *file* is what QEMU shows, *changed* the file of :class:`Changed`, and *layers* those of the
    untouched image; without layers everything is read from *file*. With each *generation* what
    was written before is in the layers, and nothing has changed yet.
    """

    def __init__(
        self,
        file: str,
        size: int,
        changed: str = "",
        layers: tuple[Layer, ...] = (),
        generation: int = 0,
    ) -> None:
        self.file = file
        self.size = size
        self.changed = changed
        self.layers = layers
        self.generation = generation

    def as_plain(self) -> tuple[Any, ...]:
        """The same in types that can be marshalled, and compared."""
        layers = tuple(layer.as_plain() for layer in self.layers)
        return self.file, self.size, self.changed, layers, self.generation

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> Place:
        """The inverse of :meth:`as_plain`."""
        file, size, changed, layers, generation = plain
        return cls(file, size, changed, tuple(Layer(*layer) for layer in layers), generation)


class Disk:
    """The *size* bytes of the disk at *place*.

    *ready* returns when the file is there; it is opened only when it is needed.
    """

    def __init__(self, place: Place, *, ready: Callable[[], None] = lambda: None) -> None:
        self.place = place
        self.size = place.size
        self._ready = ready
        self._descriptor = -1
        self._closed = False
        self._changed: Changed | None = None
        self._clusters: Clusters | None = None
        if place.layers:
            self._changed = Changed(os.fsencode(place.changed))
            self._clusters = Clusters(place.layers)

    @classmethod
    def of_file(cls, path: Path) -> Disk:
        """The plain file at *path* as a disk."""
        return cls(Place(str(path), path.stat().st_size))

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*, which lie on the disk. Raises OSError."""
        found = self.unchanged(offset, count)
        return os.pread(self._file(), count, offset) if found is None else found

    def unchanged(self, offset: int, count: int) -> bytes | None:
        """What the image holds there; None when there is something else, or QEMU must be asked."""
        if self._clusters is None or self._changed is None or self._changed.touches(offset, count):
            return None
        try:
            return self._clusters.read(offset, count)
        except UnreadableError:
            return None

    def write(self, offset: int, content: bytes | memoryview) -> int:
        """Write *content* at *offset* and return how much of it was. Raises OSError."""
        self.mark(offset, len(content))
        return os.pwrite(self._file(), content, offset)

    def mark(self, offset: int, count: int) -> None:
        """Say that somebody is going to write *count* bytes at *offset*."""
        if self._changed is not None:
            self._changed.mark(offset, count)

    @property
    def has_changed(self) -> bool:
        """Whether anybody has written to it, or may have."""
        return not self._closed and (self._changed is None or self._changed.anything)

    def flush(self) -> None:
        """Have QEMU write what it still keeps of the image's tables. Raises OSError."""
        if self.has_changed:
            os.fsync(self._file())

    def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        self.release()
        self._closed = True
        if self._clusters is not None:
            self._clusters.close()
            self._clusters = None
        if self._changed is not None:
            self._changed.close()
            self._changed = None

    def release(self) -> None:
        """Let go of the file, which may go away now; it is opened again when it is needed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _file(self) -> int:
        if self._descriptor < 0:
            self._ready()
            path = self.place.file
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return self._descriptor
