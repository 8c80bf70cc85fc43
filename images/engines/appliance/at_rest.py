"""A file system that this process reads while it is at rest, and the machine once it changes.

Under emulation the machine takes a hundred times as long for what this process reads by itself. It
is asked for what is changed, for everything afterwards, and for what is not understood here; what
it writes is read here again when it has unmounted the file system.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any, TypeVar

from unclone.images.engines.direct.in_place.formats import FORMATS
from unclone.images.engines.direct.in_place.tree import Tree
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from unclone.images.blocks import Blocks, OpenBlocks
    from unclone.images.engines.appliance.mounted import Mounted
    from unclone.images.engines.direct.driver import Driver, StatTuple
    from unclone.images.engines.direct.in_place.tree import Format
    from unclone.images.volumes import Subvolume

T = TypeVar("T")

#: What XFS stores of an ACL; the kernel shows it under another name as well.
_ACL = "trusted.SGI_ACL_"


def is_at_rest(kind: str, blocks: Blocks) -> bool:
    """Whether the file system of type *kind* can be read here: it is known, and was unmounted."""
    known = FORMATS.get(kind)
    try:
        return known is not None and not known.unsupported(blocks) and known.is_clean(blocks)
    except (EngineError, OSError):  # the kernel says what is wrong with it
        return False


class AtRest:
    """The file system of type *kind* on *blocks*, for all its mounts.

    One operation may take *limit* seconds of processor time. Raises EngineError, or OSError for
    damage.
    """

    def __init__(self, kind: str, blocks: OpenBlocks, limit: float) -> None:
        self.close = blocks.close
        self.meter = _Meter(blocks, limit)
        self.form: Format[Any] = FORMATS[kind].open(self.meter)
        #: Whether the machine has it: from now on only that knows what is in it.
        self.is_left = False


class OnDemand:
    """A mount of *subvolume* of *shared*; *mount* makes it one of the machine.

    A :class:`unclone.images.engines.direct.driver.Driver`. Raises as :class:`AtRest`.
    """

    def __init__(self, shared: AtRest, subvolume: str, mount: Callable[[], Mounted]) -> None:
        self._shared = shared
        self._tree = Tree(shared.form, subvolume, writable=False)
        self._mount = mount
        self._mounted: Mounted | None = None

    def mounted(self) -> Mounted:
        """It, in the machine."""
        if self._mounted is None:
            self._shared.is_left = True
            self._mounted = self._mount()
        return self._mounted

    def close(self) -> None:
        if self._mounted is not None:
            self._mounted.close()

    def drop(self) -> None:
        """Nothing to do: it ends with the machine."""

    def subvolumes(self) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""
        found = self._at_rest(self._tree.subvolumes)
        return self.mounted().subvolumes() if found is None else found

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: bytes) -> StatTuple:
        return self._reading(lambda driver: driver.lstat(path))

    def scan(self, path: bytes) -> Sequence[tuple[bytes, int]]:
        return self._reading(lambda driver: driver.scan(path))

    def readlink(self, path: bytes) -> bytes:
        return self._reading(lambda driver: driver.readlink(path))

    def read(self, path: bytes, limit: int) -> bytes:
        return self._reading(lambda driver: driver.read(path, limit))

    def prefetch(self, directories: Sequence[bytes], files: Sequence[bytes]) -> None:
        """Nothing to do: it is read in this process."""

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        found = self._at_rest(lambda: self._tree.get_xattrs(path))
        if found is None or any(name.startswith(_ACL) for name in found):
            return self.mounted().get_xattrs(path)
        return found

    def walk(
        self, path: bytes, exclude: Sequence[bytes], limit: int
    ) -> Iterator[tuple[bytes, StatTuple, bytes | None, bytes]]:
        met = set()
        if not self._shared.is_left:
            at_rest = self._tree.walk(path, exclude, limit)
            while (one := self._at_rest(lambda: next(at_rest, ()))) is not None:
                if not one:
                    return
                met.add(one[0])
                yield one
        for other in self.mounted().walk(path, exclude, limit):
            if other[0] not in met:
                yield other

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> Sequence[bytes]:
        return self._reading(lambda driver: driver.search(path, needles, exclude, limit))

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: bytes, content: bytes, keep: int) -> None:
        self.mounted().write(path, content, keep)

    def create(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        self.mounted().create(path, content, mode, uid, gid)

    def make_directory(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        self.mounted().make_directory(path, mode, uid, gid)

    def make_symlink(self, path: bytes, target: bytes) -> None:
        self.mounted().make_symlink(path, target)

    def remove(self, path: bytes) -> None:
        self.mounted().remove(path)

    def rename(self, old: bytes, new: bytes) -> None:
        self.mounted().rename(old, new)

    def set_owner(self, path: bytes, uid: int, gid: int) -> None:
        self.mounted().set_owner(path, uid, gid)

    def set_mode(self, path: bytes, mode: int) -> None:
        self.mounted().set_mode(path, mode)

    def set_xattr(self, path: bytes, name: str, value: bytes) -> None:
        self.mounted().set_xattr(path, name, value)

    # -- helpers ---------------------------------------------------------------------------
    def _reading(self, function: Callable[[Driver], T]) -> T:
        found = self._at_rest(lambda: function(self._tree))
        return function(self.mounted()) if found is None else found

    def _at_rest(self, function: Callable[[], T]) -> T | None:
        """What *function*, which reads here, returns; None when the machine has to be asked."""
        if self._shared.is_left:
            return None
        self._shared.meter.begin()
        try:
            return function()
        except EngineError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:  # the kernel says what is wrong with it
                return None
            raise


class _Meter:
    """*blocks* that are read no more when one operation has taken *limit* seconds of this thread.

    What is on them may be made so that reading it does not end.
    """

    def __init__(self, blocks: Blocks, limit: float) -> None:
        self._blocks, self._limit = blocks, limit
        self.size = blocks.size
        self.begin()

    def begin(self) -> None:
        """An operation begins."""
        self._until = time.thread_time() + self._limit

    def read(self, offset: int, count: int) -> bytes:
        if time.thread_time() > self._until:
            raise EngineError("reading a file system takes too long")
        return self._blocks.read(offset, count)

    def write(self, offset: int, content: bytes) -> None:
        """It is only read here."""
        del offset, content
        raise EngineError("a file system that is only read would be written to")
