"""The operations on a file system at rest that do not depend on its format."""

from __future__ import annotations

import errno
import stat
import struct
from functools import wraps
from typing import TYPE_CHECKING, Generic, NoReturn, ParamSpec, Protocol, TypeVar

from unclone.images.errors import EngineError
from unclone.images.needles import Needles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from unclone.images.engines.direct.driver import StatTuple
    from unclone.images.volumes import Subvolume


class Node(Protocol):
    """An inode."""

    @property
    def number(self) -> int: ...
    @property
    def stat(self) -> StatTuple: ...


N = TypeVar("N", bound=Node)

_NAME_MAX = 255
#: Directories whose entries are kept, and how many entries these have at most.
_KEPT, _FEW = 500, 5000
P = ParamSpec("P")
R = TypeVar("R")


def parsed(function: Callable[P, R]) -> Callable[P, R]:
    """Raise EngineError for numbers on the disk that *function* cannot go by."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (struct.error, LookupError, ValueError, ArithmeticError) as error:
            raise EngineError(f"a file system is not understood here: {error}") from error

    return call


class Format(Protocol[N]):
    """One file system at rest. Raises EngineError for what is not supported, OSError for damage."""

    def root(self, subvolume: str) -> N:
        """The directory at the top of *subvolume*, a path; "" is the default one."""

    def subvolumes(self) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""

    def node(self, number: int) -> N:
        """The inode *number*."""

    def entries(self, directory: N) -> Mapping[bytes, tuple[int, int]]:
        """The number and type (as in a mode) of each name, without ``.`` and ``..``."""

    def content(self, node: N, count: int) -> bytes:
        """The first *count* bytes of a regular file, or the text of a symlink."""

    def attributes(self, node: N) -> dict[str, bytes]:
        """Its extended attributes."""

    def overwrite(self, node: N, old: bytes, new: bytes) -> None:
        """Replace the content *old* of a regular file by *new*, which is as long."""


class Tree(Generic[N]):
    """A :class:`unclone.images.engines.direct.driver.Driver` of a file system in *form*."""

    def __init__(self, form: Format[N], subvolume: str, *, writable: bool) -> None:
        self._form = form
        self._root = form.root(subvolume)
        self._writable = writable
        #: What was listed last, by the number of the directory: no name changes here.
        self._listed: dict[int, Mapping[bytes, tuple[int, int]]] = {}

    def beside(self, subvolume: str) -> Tree[N]:
        """*subvolume* of the same file system."""
        return Tree(self._form, subvolume, writable=self._writable)

    def subvolumes(self) -> tuple[Sequence[Subvolume], str]:
        """As ``Volumes.subvolumes``."""
        return self._form.subvolumes()

    def close(self) -> None:
        """Nothing to do: all changes have been written."""

    def drop(self) -> None:
        """Nothing to do."""

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: bytes) -> StatTuple:
        return self._find(path).stat

    def scan(self, path: bytes) -> Sequence[tuple[bytes, int]]:
        return [(name, kind) for name, (_, kind) in self._list(self._find(path)).items()]

    def readlink(self, path: bytes) -> bytes:
        node = self._find(path)
        if not stat.S_ISLNK(node.stat[0]):
            raise OSError(errno.EINVAL, "is not a symlink")
        return self._text(node)

    def read(self, path: bytes, limit: int) -> bytes:
        return self._content(self._file(path), limit)

    def prefetch(self, directories: Sequence[bytes], files: Sequence[bytes]) -> None:
        """Nothing to do: it is read in this process."""

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        return self._form.attributes(self._find(path))

    def walk(
        self, path: bytes, exclude: Sequence[bytes], limit: int
    ) -> Iterator[tuple[bytes, StatTuple, bytes | None, bytes]]:
        for below, node in self._below(path, exclude):
            kind = stat.S_IFMT(node.stat[0])
            content = self._content(node, limit) if kind == stat.S_IFREG else None
            target = self._text(node) if kind == stat.S_IFLNK else b""
            yield below, node.stat, content, target

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> list[bytes]:
        found = []
        wanted = Needles(needles)
        for below, node in self._below(path, exclude):
            texts = [below.rpartition(b"/")[2]]
            kind = stat.S_IFMT(node.stat[0])
            if kind == stat.S_IFREG and node.stat[3] <= limit:
                texts.append(self._content(node, limit))
            elif kind == stat.S_IFLNK:
                texts.append(self._text(node))
            if any(map(wanted.are_in, texts)):
                found.append(below)
        return found

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: bytes, content: bytes, keep: int) -> None:
        if not self._writable:
            raise OSError(errno.EROFS, "the file system is mounted read-only")
        node = self._file(path)
        old = self._content(node, node.stat[3])
        new = old[:keep] + content
        if len(new) != len(old):
            _refuse(f"the length of {path!r} would change")
        if new != old:
            self._form.overwrite(node, old, new)

    def create(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        del content, mode, uid, gid
        _refuse(f"{path!r} would be made")

    def make_directory(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        del mode, uid, gid
        _refuse(f"{path!r} would be made")

    def make_symlink(self, path: bytes, target: bytes) -> None:
        del target
        _refuse(f"{path!r} would be made")

    def remove(self, path: bytes) -> None:
        _refuse(f"{path!r} would be removed")

    def rename(self, old: bytes, new: bytes) -> None:
        del new
        _refuse(f"{old!r} would be renamed")

    def set_owner(self, path: bytes, uid: int, gid: int) -> None:
        del uid, gid
        _refuse(f"the owner of {path!r} would change")

    def set_mode(self, path: bytes, mode: int) -> None:
        if mode != stat.S_IMODE(self.lstat(path)[0]):
            _refuse(f"the mode of {path!r} would change")

    def set_xattr(self, path: bytes, name: str, value: bytes) -> None:
        del name, value
        _refuse(f"an extended attribute of {path!r} would change")

    # -- helpers ---------------------------------------------------------------------------
    def _find(self, path: bytes) -> N:
        node = self._root
        for part in path.split(b"/"):
            if not part:
                continue
            if part in {b".", b".."} or b"\0" in part:
                raise OSError(errno.EINVAL, "the path is not physical")
            if len(part) > _NAME_MAX:
                raise OSError(errno.ENAMETOOLONG, "the name is too long")
            found = self._list(node).get(part)
            if found is None:
                raise OSError(errno.ENOENT, "there is no such file or directory")
            node = self._form.node(found[0])
        return node

    def _list(self, node: N) -> Mapping[bytes, tuple[int, int]]:
        if not stat.S_ISDIR(node.stat[0]):
            raise OSError(errno.ENOTDIR, "is not a directory")
        found = self._listed.get(node.number)
        if found is None:
            found = self._form.entries(node)
            if len(self._listed) == _KEPT:
                del self._listed[next(iter(self._listed))]
            if len(found) <= _FEW:
                self._listed[node.number] = found
        return found

    def _below(self, path: bytes, exclude: Sequence[bytes]) -> Iterator[tuple[bytes, N]]:
        """Every inode below directory *path*; a damaged tree with a loop is an error."""
        pending = [(path.rstrip(b"/"), self._find(path))]
        seen = {pending[0][1].number}
        while pending:
            base, directory = pending.pop()
            for name, (number, _) in self._list(directory).items():
                below = base + b"/" + name
                if below in exclude:
                    continue
                node = self._form.node(number)
                if stat.S_ISDIR(node.stat[0]):
                    if number in seen:
                        raise OSError(errno.EIO, "a directory is in two places")
                    seen.add(number)
                    pending.append((below, node))
                yield below, node

    def _file(self, path: bytes) -> N:
        node = self._find(path)
        if stat.S_ISDIR(node.stat[0]):
            raise OSError(errno.EISDIR, "is a directory")
        if not stat.S_ISREG(node.stat[0]):
            raise OSError(errno.EINVAL, "is not a regular file")
        return node

    def _content(self, node: N, limit: int) -> bytes:
        return self._form.content(node, min(node.stat[3], limit))

    def _text(self, node: N) -> bytes:
        return self._form.content(node, node.stat[3])


def _refuse(why: str) -> NoReturn:
    raise EngineError(f"content is only overwritten here, and {why}")
