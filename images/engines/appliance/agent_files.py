"""The operations on a file system that is mounted in the virtual machine.

Paths are absolute in the file system, as bytes; no operation follows a symlink.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time

from unclone.images.engines.appliance import agent_kernel as kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    StatTuple = tuple[int, int, int, int, int]
    Met = tuple[bytes, StatTuple, bytes | None, bytes]

_CAPABILITY = "security.capability"
#: Entries of a directory whose inodes are returned with the names.
_FEW = 100
_BATCH_BYTES = 1024 * 1024


class FileSystem:
    """A mounted file system: *top* is where, in the machine."""

    def __init__(self, top: bytes, nodes: Sequence[str], kind: str) -> None:
        self.top, self.nodes, self.kind = top, nodes, kind

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: bytes) -> StatTuple:
        return _stat(os.lstat(self._at(path)))

    def scan(self, path: bytes) -> tuple[list[tuple[bytes, int]], list[StatTuple]]:
        with os.scandir(self._directory(path)) as entries:
            found = list(entries)
        if len(found) > _FEW:
            return [(entry.name, _type(entry)) for entry in found], []
        stats = [_stat(entry.stat(follow_symlinks=False)) for entry in found]
        names = [(e.name, stat.S_IFMT(s[0])) for e, s in zip(found, stats, strict=True)]
        return names, stats

    def readlink(self, path: bytes) -> bytes:
        return os.readlink(self._at(path))

    def read(self, path: bytes, limit: int, start: int) -> bytes:
        file = self._file(path, os.O_RDONLY)
        try:
            return _read(file, limit, start)
        finally:
            os.close(file)

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        at = self._at(path)
        names = os.listxattr(at, follow_symlinks=False)
        return {name: os.getxattr(at, name, follow_symlinks=False) for name in names}

    def walk(self, path: bytes, exclude: Sequence[bytes], limit: int) -> Iterator[Met]:
        for below, found in self._below(path, exclude):
            content, target = None, b""
            if stat.S_ISREG(found[0]):
                content = self.read(below, limit, 0) if limit else b""
            elif stat.S_ISLNK(found[0]):
                target = self.readlink(below)
            yield below, found, content, target

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> Iterator[bytes | None]:
        """What is below *path* and holds one of *needles*; None for what does not."""
        for below, found in self._below(path, exclude):
            texts = [below.rpartition(b"/")[2]]
            if stat.S_ISREG(found[0]) and found[3] <= limit:
                texts.append(self.read(below, limit, 0))
            elif stat.S_ISLNK(found[0]):
                texts.append(self.readlink(below))
            yield below if any(n in text for text in texts for n in needles) else None

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: bytes, content: bytes, keep: int) -> None:
        file = self._file(path, os.O_WRONLY)
        try:
            # The kernel takes capabilities and set-id bits from a file that is written to.
            before = os.fstat(file)
            capability = _capability(file)
            if before.st_size < keep:
                raise OSError(errno.EINVAL, "is shorter than what was to stay")
            os.ftruncate(file, keep)
            _write(file, content, keep)
            if os.fstat(file).st_mode != before.st_mode:
                os.fchmod(file, stat.S_IMODE(before.st_mode))
            if capability is not None:
                os.setxattr(file, _CAPABILITY, capability)
        finally:
            os.close(file)

    def create(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        file = os.open(self._at(path), flags, 0o600)
        try:
            _write(file, content, 0)
            os.fchown(file, uid, gid)
            os.fchmod(file, mode)
        finally:
            os.close(file)

    def make_directory(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        at = self._at(path)
        os.mkdir(at, 0o700)
        os.lchown(at, uid, gid)
        os.chmod(at, mode)

    def make_symlink(self, path: bytes, target: bytes) -> None:
        os.symlink(target, self._at(path))

    def remove(self, path: bytes) -> None:
        self._remove(self._at(path))

    def rename(self, old: bytes, new: bytes) -> None:
        os.rename(self._at(old), self._at(new))

    def set_owner(self, path: bytes, uid: int, gid: int) -> None:
        at = self._at(path)
        before = os.lstat(at).st_mode
        is_file = stat.S_ISREG(before)
        capability = _capability(at) if is_file else None
        os.lchown(at, uid, gid)
        if os.lstat(at).st_mode != before:
            os.chmod(at, stat.S_IMODE(before))
        if capability is not None:
            os.setxattr(at, _CAPABILITY, capability, follow_symlinks=False)

    def set_mode(self, path: bytes, mode: int) -> None:
        at = self._at(path)
        if stat.S_ISLNK(os.lstat(at).st_mode):
            raise OSError(errno.EOPNOTSUPP, "a symlink has no permission bits")
        os.chmod(at, mode)

    def set_xattr(self, path: bytes, name: str, value: bytes) -> None:
        os.setxattr(self._at(path), name, value, follow_symlinks=False)

    # -- btrfs -----------------------------------------------------------------------------
    def subvolumes(self) -> tuple[list[tuple[bytes, bytes, bytes, int]], int]:
        """Path, UUID, UUID of the original, and number of each; and the number of the default."""
        top = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return kernel.subvolumes(top), kernel.default_subvolume(top)
        finally:
            os.close(top)

    def subvolume_request(self, request: int, path: bytes, first: int | bytes = 0) -> None:
        """Make an ioctl that takes a ``btrfs_ioctl_vol_args`` on the parent of *path*.

        What is passed before the name is a number, or the directory *first*.
        """
        folder, _, name = path.rpartition(b"/")
        opened = [os.open(self._directory(folder or b"/"), os.O_RDONLY | os.O_DIRECTORY)]
        try:
            if isinstance(first, bytes):
                opened.append(os.open(self._directory(first), os.O_RDONLY | os.O_DIRECTORY))
                first = opened[1]
            kernel.ioctl(opened[0], request, struct.pack("<q4088s", first, name))
        finally:
            for each in opened:
                os.close(each)

    def wait_until_freed(self, numbers: Sequence[int]) -> bool:
        """Whether the blocks of the deleted subvolumes *numbers* are free; ask again if not."""
        top = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(top, kernel.BTRFS_SYNC)
            left = {offset for offset, _, _ in kernel.tree_items(top, kernel.ROOT_ITEM)}
        finally:
            os.close(top)
        if left.isdisjoint(numbers):
            return True
        time.sleep(0.05)
        return False

    # -- helpers ---------------------------------------------------------------------------
    def _at(self, path: bytes) -> bytes:
        parts = [part for part in path.split(b"/") if part]
        if any(part in {b".", b".."} or b"\0" in part for part in parts):
            raise OSError(errno.EINVAL, "the path is not physical")
        at = self.top
        for part in parts[:-1]:
            at += b"/" + part
            if stat.S_ISLNK(os.lstat(at).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "is a symlink")
        return b"/".join([at, *parts[-1:]])

    def _directory(self, path: bytes) -> bytes:
        at = self._at(path)
        if not stat.S_ISDIR(os.lstat(at).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory")
        return at

    def _file(self, path: bytes, flags: int) -> int:
        """A descriptor of the regular file: a fifo would block, a symlink be followed."""
        at = self._at(path)
        mode = os.lstat(at).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        return os.open(at, flags | os.O_NOFOLLOW)

    def _below(self, path: bytes, exclude: Sequence[bytes]) -> Iterator[tuple[bytes, StatTuple]]:
        left_out = frozenset(exclude)
        self._directory(path)
        pending = [path.rstrip(b"/")]
        seen = set()
        while pending:
            base = pending.pop()
            with os.scandir(self.top + base) as entries:
                found = list(entries)
            for entry in found:
                below = base + b"/" + entry.name
                if below in left_out:
                    continue
                met = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(met.st_mode):
                    key = met.st_dev, met.st_ino
                    if key in seen:
                        raise OSError(errno.EUCLEAN, "a directory is in two places")
                    seen.add(key)
                    pending.append(below)
                yield below, _stat(met)

    def _remove(self, at: bytes) -> None:
        if not stat.S_ISDIR(os.lstat(at).st_mode):
            os.unlink(at)
            return
        pending = [at]
        while pending:
            folder = pending[-1]
            with os.scandir(folder) as entries:
                found = list(entries)
            folders = []
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    os.unlink(entry.path)
            if folders:
                pending += folders
            else:
                os.rmdir(pending.pop())


def _stat(found: os.stat_result) -> StatTuple:
    return found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_nlink


def _type(entry: os.DirEntry[bytes]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)


def _read(file: int, limit: int, start: int) -> bytes:
    parts = []
    while limit > 0 and (part := os.pread(file, min(limit, _BATCH_BYTES), start)):
        parts.append(part)
        limit, start = limit - len(part), start + len(part)
    return b"".join(parts)


def _write(file: int, content: bytes, start: int) -> None:
    left = memoryview(content)
    while left:
        done = os.pwrite(file, left, start)
        start, left = start + done, left[done:]


def _capability(file: int | bytes) -> bytes | None:
    try:
        return os.getxattr(file, _CAPABILITY)
    except OSError:
        return None
