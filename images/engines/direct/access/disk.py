"""A disk, read from the image itself where nothing has been written, else through QEMU.

A call on the file that QEMU exports goes through the kernel and another process, and takes some
thirty times as long as a read from the image.
"""

from __future__ import annotations

import os

from unclone.images.engines.direct.access.clusters import Clusters, Layer, UnreadableError
from unclone.images.engines.direct.access.dirty_map import DirtyMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Place:
    """Where a disk of *size* bytes is; sent to the helper programs.

    *file* is what QEMU exports, *dirty_map* the file of :class:`DirtyMap`, and *layers* those of
    the untouched image; without layers everything is read from *file*. In the next *generation*
    what was written before is in the layers, and the map is clean.
    """

    def __init__(
        self,
        file: str,
        size: int,
        dirty_map: str = "",
        layers: tuple[Layer, ...] = (),
        generation: int = 0,
    ) -> None:
        self.file = file
        self.size = size
        self.dirty_map = dirty_map
        self.layers = layers
        self.generation = generation

    def as_plain(self) -> tuple[Any, ...]:
        """The same in types that can be marshalled, and compared."""
        layers = tuple(layer.as_plain() for layer in self.layers)
        return self.file, self.size, self.dirty_map, layers, self.generation

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> Place:
        """The inverse of :meth:`as_plain`."""
        file, size, dirty_map, layers, generation = plain
        return cls(file, size, dirty_map, tuple(Layer(*layer) for layer in layers), generation)


class Disk:
    """The *size* bytes of the disk at *place*.

    *ready* returns when QEMU's file exists; it is opened only when it is needed.
    """

    def __init__(self, place: Place, *, ready: Callable[[], None] = lambda: None) -> None:
        self.place = place
        self.size = place.size
        self._ready = ready
        self._descriptor = -1
        self._closed = False
        self._dirty_map: DirtyMap | None = None
        self._clusters: Clusters | None = None
        if place.layers:
            self._dirty_map = DirtyMap(os.fsencode(place.dirty_map))
            self._clusters = Clusters(place.layers)

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*, which lie on the disk. Raises OSError."""
        found = self.unchanged(offset, count)
        return os.pread(self._file(), count, offset) if found is None else found

    def unchanged(self, offset: int, count: int) -> bytes | None:
        """What the image holds there; None where it was written to, or only QEMU can read it."""
        if self._clusters is None or self._dirty_map is None:
            return None
        if self._dirty_map.is_dirty(offset, count):
            return None
        try:
            return self._clusters.read(offset, count)
        except UnreadableError:
            return None

    def write(self, offset: int, content: bytes | memoryview) -> int:
        """Write *content* at *offset* and return the number of bytes written. Raises OSError."""
        self.mark(offset, len(content))
        return os.pwrite(self._file(), content, offset)

    def mark(self, offset: int, count: int) -> None:
        """Mark *count* bytes at *offset* as dirty, before they are written."""
        if self._dirty_map is not None:
            self._dirty_map.mark(offset, count)

    @property
    def is_dirty(self) -> bool:
        """Whether it may have been written to."""
        return not self._closed and (self._dirty_map is None or self._dirty_map.any_dirty)

    def flush(self) -> None:
        """Have QEMU write the image's tables that it still caches. Raises OSError."""
        if self.is_dirty:
            os.fsync(self._file())

    def close(self) -> None:
        """Close every file. Safe to call twice."""
        self.release()
        self._closed = True
        if self._clusters is not None:
            self._clusters.close()
            self._clusters = None
        if self._dirty_map is not None:
            self._dirty_map.close()
            self._dirty_map = None

    def release(self) -> None:
        """Close QEMU's file, which may then be removed; it is opened again when it is needed."""
        if self._descriptor >= 0:
            try:
                os.close(self._descriptor)
            except OSError:
                pass  # QEMU is gone; what had to be written was flushed, or is not needed
            finally:
                self._descriptor = -1

    def _file(self) -> int:
        if self._descriptor < 0:
            self._ready()
            path = self.place.file
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return self._descriptor
