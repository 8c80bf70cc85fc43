"""Finding and reading in one ext file system, by paths. Symlinks are never followed."""

from __future__ import annotations

import errno
import stat
from functools import lru_cache
from itertools import islice

from unclone.images.engines.direct.directory_types import MODES
from unclone.images.engines.direct.ext.volume import ROOT, Volume
from unclone.images.needles import Needles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.direct.ext.contents import Run
    from unclone.images.engines.direct.ext.inode import Inode

    #: mode with type, uid, gid, size, links
    StatTuple = tuple[int, int, int, int, int]
    #: Names with the type bits of their modes; and all about each, or about none.
    Scan = tuple[list[tuple[bytes, int]], list[StatTuple]]
    #: path below the one walked, stat, content or None, symlink text
    Met = tuple[bytes, StatTuple, bytes | None, bytes]

NAME_MAX = 255
#: Entries of a directory whose inodes are returned with the names.
_FEW = 100
#: Symlinks of a directory that are read at once.
_MANY = 500
#: Bytes that one answer may have of what is read ahead: of all, for a name, of a file.
_ROOM, _PER_NAME, _SMALL = 1024 * 1024, 64, 64 * 1024


class Reading:
    """Read operations on a file system, by absolute paths as bytes."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._known: dict[tuple[int, bytes], int] = {}

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: bytes) -> StatTuple:
        return _stat(self._inode(path))

    def scan(self, path: bytes) -> Scan:
        """The names in a directory, each with the type bits of its mode; and all about each.

        The latter only where there are few: the caller will mostly ask for the inodes next.
        """
        directory = self._directory(path).number
        entries = self._volume.entries(directory)
        # libext2fs looks a name up by reading the directory from its start.
        self._known.update({(directory, name): number for name, (number, _) in entries.items()})
        names = [
            (name, MODES.get(kind) or stat.S_IFMT(self._volume.inode(number).mode))
            for name, (number, kind) in entries.items()
        ]
        if len(entries) > _FEW:
            return names, []
        try:
            return names, [_stat(self._volume.inode(number)) for number, _ in entries.values()]
        except OSError:
            return names, []  # reported when that inode is asked for

    def prefetch(
        self, directories: Sequence[bytes], files: Sequence[bytes]
    ) -> tuple[dict[bytes, Scan], dict[bytes, bytes]]:
        """As many of *directories* as :meth:`scan` shows them, and small *files*, as fit an answer.

        What cannot be read is missing, and an error when it is asked for.
        """
        scans: dict[bytes, Scan] = {}
        contents: dict[bytes, bytes] = {}
        room = _ROOM
        for path in directories:
            try:
                scans[path] = self.scan(path)
            except OSError:
                continue
            room -= _PER_NAME * len(scans[path][0])
            if room < 0:
                return scans, contents
        for path in files:
            try:
                inode = self._file(path)
                if inode.size > _SMALL:
                    continue
                contents[path] = self._volume.read(inode, _SMALL)
            except OSError:
                continue
            room -= len(contents[path])
            if room < 0:
                break
        return scans, contents

    def links(self, path: bytes) -> dict[bytes, bytes]:
        """The texts of the symlinks in the directory *path*, but of no more than :data:`_MANY`."""
        found: dict[bytes, bytes] = {}
        entries = self._volume.entries(self._directory(path).number).items()
        links = (entry for entry in entries if MODES.get(entry[1][1]) == stat.S_IFLNK)
        for name, (number, _) in islice(links, _MANY):
            inode = self._volume.inode(number)
            if inode.is_symlink:
                found[name] = self._volume.link_target(inode)
        return found

    def readlink(self, path: bytes) -> bytes:
        inode = self._inode(path)
        if not inode.is_symlink:
            raise OSError(errno.EINVAL, "is not a symlink")
        return self._volume.link_target(inode)

    def read(self, path: bytes, limit: int, start: int) -> bytes:
        return self._volume.read(self._file(path), limit, start=start)

    def runs(self, path: bytes) -> tuple[int, list[Run] | None]:
        """The size of the regular file at *path*, and where its content is if that is known."""
        inode = self._file(path)
        return inode.size, self._volume.runs(inode)

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        return self._volume.attributes(self._inode(path).number)

    def walk(self, path: bytes, exclude: Sequence[bytes], limit: int) -> Iterator[Met]:
        """Every inode below directory *path* with the first *limit* bytes of each file."""
        for below, inode in self._below(path, exclude):
            content = self._volume.read(inode, limit) if inode.is_regular else None
            target = self._volume.link_target(inode) if inode.is_symlink else b""
            yield below, _stat(inode), content, target

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> list[bytes]:
        """What is below directory *path* and holds one of *needles*, as a name or inside."""
        found = []
        wanted = _prepared(tuple(needles))
        for below, inode in self._below(path, exclude):
            texts = [below.rpartition(b"/")[2]]
            if inode.is_regular and inode.size <= limit:
                texts.append(self._volume.read(inode, limit))
            elif inode.is_symlink:
                texts.append(self._volume.link_target(inode))
            if any(map(wanted.are_in, texts)):
                found.append(below)
        return found

    # -- finding ---------------------------------------------------------------------------
    def _number(self, path: bytes) -> int:
        number = ROOT
        for name in path.split(b"/"):
            if not name:
                continue
            if len(name) > NAME_MAX:
                raise OSError(errno.ENAMETOOLONG, "the name is too long")
            if name in {b".", b".."} or b"\0" in name:
                raise OSError(errno.EINVAL, "the path is not physical")
            key = number, name
            if key not in self._known:
                self._known[key] = self._volume.lookup(number, name)
            number = self._known[key]
        return number

    def _inode(self, path: bytes) -> Inode:
        return self._volume.inode(self._number(path))

    def _below(self, path: bytes, exclude: Sequence[bytes]) -> Iterator[tuple[bytes, Inode]]:
        """Every inode below directory *path*; a damaged tree with a loop is an error."""
        left_out = frozenset(exclude)
        pending = [(path.rstrip(b"/"), self._directory(path).number)]
        seen = {pending[0][1]}
        while pending:
            base, number = pending.pop()
            for name, (child, _) in self._volume.entries(number).items():
                below = base + b"/" + name
                if below in left_out:
                    continue
                inode = self._volume.inode(child)
                if inode.is_directory:
                    require_new(child, seen)
                    pending.append((below, child))
                yield below, inode

    def _directory(self, path: bytes) -> Inode:
        inode = self._inode(path)
        if not inode.is_directory:
            raise OSError(errno.ENOTDIR, "is not a directory")
        return inode

    def _file(self, path: bytes) -> Inode:
        inode = self._inode(path)
        if inode.is_directory:
            raise OSError(errno.EISDIR, "is a directory")
        if not inode.is_regular:
            raise OSError(errno.EINVAL, "is not a regular file")
        return inode


@lru_cache(maxsize=1)  # many directories are searched for the same
def _prepared(needles: tuple[bytes, ...]) -> Needles:
    return Needles(needles)


def _stat(inode: Inode) -> StatTuple:
    return inode.stat


def require_new(number: int, seen: set[int]) -> None:
    if number in seen:
        raise OSError(errno.EUCLEAN, f"directory inode {number} is in two places")
    seen.add(number)
