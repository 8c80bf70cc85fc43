"""A disk, read from the image itself where nothing has been written, else from a scratch file.

The scratch file is sparse and as large as the disk: what is written goes where it is on the disk.
So libext2fs can work on it as on a disk. The image is not touched; the overlay is made from the
scratch file when everything has been written.
"""

from __future__ import annotations

import errno
import os

from unclone.images.engines.direct.access.clusters import Clusters, Layer, UnreadableError
from unclone.images.engines.direct.access.dirty_map import REGION, DirtyMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Bytes of the image that are read for a request of no more than so many, and how many are
#: kept: metadata and small files are asked for one by one, and are neighbours.
_WINDOW, _SMALL, _WINDOWS = 64 * 1024, 16 * 1024, 64


class Place:
    """Where a disk of *size* bytes is; sent to the helper programs.

    *file* is the scratch file, *dirty_map* the file of :class:`DirtyMap`, and *layers* those of the
    untouched image; without layers *file* is the disk itself. In the next *generation* what was
    written before is in the layers, and the map is clean.
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
    """The *size* bytes of the disk at *place*."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.size = place.size
        self._descriptor = -1
        self._dirty_map: DirtyMap | None = None
        self._clusters: Clusters | None = None
        #: Of the layers, by number, in the order in which they were read.
        self._windows: dict[int, bytes] = {}
        if place.layers:
            self._dirty_map = DirtyMap(os.fsencode(place.dirty_map))
            self._clusters = Clusters(place.layers)

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*, which lie on the disk. Raises OSError."""
        found = self.unchanged(offset, count)
        if found is not None:
            return found
        self.gather(offset, count)
        return os.pread(self._file(), count, offset)

    def unchanged(self, offset: int, count: int) -> bytes | None:
        """What the image holds there; None where it was written to. Raises OSError."""
        if self._dirty_map is None or self._dirty_map.is_dirty(offset, count):
            return None
        return self._below(offset, count)

    def write(self, offset: int, content: bytes | memoryview) -> int:
        """Write *content* at *offset* and return the number of bytes written. Raises OSError."""
        self.mark(offset, len(content))
        return os.pwrite(self._file(), content, offset)

    def mark(self, offset: int, count: int) -> None:
        """Mark *count* bytes at *offset* as dirty, before they are written to the file.

        What else is in their regions is copied there. Raises OSError.
        """
        if self._dirty_map is None or count <= 0:
            return
        for start, size in self._clean(offset, count):
            if offset > start or offset + count < start + size:
                _write_all(self._file(), self._below(start, size), start)
        self._dirty_map.mark(offset, count)

    def gather(self, offset: int, count: int) -> None:
        """Have all of *count* bytes at *offset* in the file, for a read of it. Raises OSError."""
        if self._dirty_map is not None and count > 0:
            for start, size in self._clean(offset, count):
                _write_all(self._file(), self._below(start, size), start)

    @property
    def dirty(self) -> list[int]:
        """The numbers of the regions that may have been written to, in order."""
        return self._dirty_map.dirty if self._dirty_map is not None else []

    def close(self) -> None:
        """Close every file. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._clusters is not None:
            self._clusters.close()
            self._clusters = None
            self._windows.clear()
        if self._dirty_map is not None:
            self._dirty_map.close()
            self._dirty_map = None

    def _clean(self, offset: int, count: int) -> list[tuple[int, int]]:
        """Start and size of the clean regions within *count* bytes at *offset*."""
        assert self._dirty_map is not None  # noqa: S101  (the callers have looked)
        starts = [region * REGION for region in self._dirty_map.clean_in(offset, count)]
        return [(start, min(REGION, self.size - start)) for start in starts]

    def _below(self, offset: int, count: int) -> bytes:
        number, start = divmod(offset, _WINDOW)
        if start + count <= _WINDOW and count <= _SMALL:
            try:
                return self._window(number)[start : start + count]
            except OSError:  # the part that is wanted may be readable by itself
                return self._of_layers(offset, count)
        return self._of_layers(offset, count)

    def _window(self, number: int) -> bytes:
        """A part of what is below, which does not change."""
        known = self._windows.get(number)
        if known is None:
            start = number * _WINDOW
            known = self._of_layers(start, min(_WINDOW, self.size - start))
            if len(self._windows) == _WINDOWS:
                del self._windows[next(iter(self._windows))]
            self._windows[number] = known
        return known

    def _of_layers(self, offset: int, count: int) -> bytes:
        assert self._clusters is not None  # noqa: S101  (there is a dirty map)
        try:
            return self._clusters.read(offset, count)
        except UnreadableError as error:
            raise OSError(errno.EIO, "a part of the image cannot be read") from error

    def _file(self) -> int:
        if self._descriptor < 0:
            path = self.place.file
            # A pinned name (images/pinned.py) is a link to the file.
            links = 0 if path.startswith("/proc/") else os.O_NOFOLLOW
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | links)
        return self._descriptor


def _write_all(file: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        done = os.pwrite(file, left, offset)
        offset, left = offset + done, left[done:]
