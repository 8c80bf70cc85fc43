"""Paths of one FAT file system, with the answers that Linux' vfat gives.

References: Linux ``fs/fat/inode.c``, ``fs/fat/file.c`` (modes, fat_setattr), ``namei_vfat.c``.
"""

from __future__ import annotations

import errno
import stat
import struct
from typing import TYPE_CHECKING

from unclone.images.engines.direct.vfat.allocation import Allocation
from unclone.images.engines.direct.vfat.directory import (
    ARCHIVE,
    DIRECTORY,
    ENTRY,
    FREE,
    READ_ONLY,
    Directory,
    Entry,
    dot_entry,
    make_entries,
    put_cluster,
    short_entry,
    stamp,
)
from unclone.images.needles import Needles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.blocks import OpenBlocks
    from unclone.images.file_systems.fat_boot_sector import BootSector

    StatTuple = tuple[int, int, int, int, int]

_FILE_LIMIT = 2**32 - 1


class FatFileSystem:
    """One file system, by absolute paths as bytes. It has no symlinks and no owners."""

    def __init__(self, volume: OpenBlocks, boot: BootSector, *, writable: bool) -> None:
        self._volume = volume
        self._boot = boot
        self._writable = writable
        self._fat = Allocation(volume, boot)

    def close(self) -> None:
        """Close the volume; all changes have been written already."""
        self._volume.close()

    def drop(self) -> None:
        """Close the volume."""
        self._volume.close()

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: bytes) -> StatTuple:
        return self._stat(self._find(path))

    def scan(self, path: bytes) -> Sequence[tuple[bytes, int]]:
        kinds = {True: stat.S_IFDIR, False: stat.S_IFREG}
        return [(_encoded(e.name), kinds[e.is_directory]) for e in self._list(path)]

    def readlink(self, path: bytes) -> bytes:
        self._find(path)
        raise OSError(errno.EINVAL, "is not a symlink")

    def read(self, path: bytes, limit: int) -> bytes:
        return self._content(self._file(path), limit)

    def prefetch(self, directories: Sequence[bytes], files: Sequence[bytes]) -> None:
        """Nothing to do: it is read in this process."""

    def get_xattrs(self, path: bytes) -> dict[str, bytes]:
        self._find(path)
        return {}

    def walk(
        self, path: bytes, exclude: Sequence[bytes], limit: int
    ) -> Iterator[tuple[bytes, StatTuple, bytes | None, bytes]]:
        pending = [path.rstrip(b"/")]
        seen: set[int] = set()
        while pending:
            base = pending.pop()
            for entry in self._list(base):
                below = base + b"/" + _encoded(entry.name)
                if below in exclude:
                    continue
                if entry.is_directory:
                    _require_new(entry.cluster, seen)
                    pending.append(below)
                content = None if entry.is_directory else self._content(entry, limit)
                yield below, self._stat(entry), content, b""

    def search(
        self, path: bytes, needles: Sequence[bytes], exclude: Sequence[bytes], limit: int
    ) -> list[bytes]:
        found = []
        wanted = Needles(needles)
        for below, stat_tuple, content, _ in self.walk(path, exclude, limit):
            texts = [below.rpartition(b"/")[2]]
            if content is not None and stat_tuple[3] <= limit:
                texts.append(content)
            if any(map(wanted.are_in, texts)):
                found.append(below)
        return found

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: bytes, content: bytes, keep: int) -> None:
        self._require_writable()
        entry = self._file(path)
        if entry.attributes & READ_ONLY:
            raise OSError(errno.EACCES, "is read-only")
        keep = min(keep, entry.size)
        _require_storable(keep + len(content))
        clusters = self._resized(entry, keep + len(content))
        kept, inside = divmod(keep, self._boot.cluster)  # whole clusters, bytes of the next
        if inside:
            content = self._fat.read(clusters[kept : kept + 1])[:inside] + content
        self._fat.write(clusters[kept:], content)
        self._update(
            self._directory(_parent(path)),
            entry,
            attributes=entry.attributes | ARCHIVE,
            cluster=clusters[0] if clusters else 0,
            size=kept * self._boot.cluster + len(content),
        )

    def create(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        self._require_writable()
        _require_root(uid, gid)
        directory, name = self._place(path)
        attributes = ARCHIVE if mode & 0o222 else ARCHIVE | READ_ONLY
        first = self._store(content)
        self._enter_new(directory, name, short_entry(attributes, first, len(content)), first)

    def make_directory(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        del mode  # it cannot be stored
        self._require_writable()
        _require_root(uid, gid)
        directory, name = self._place(path)
        (cluster,) = self._fat.allocate(1)
        dots = dot_entry(b".", cluster) + dot_entry(b"..", directory.parent_cluster)
        self._volume.write(self._fat.offset(cluster), dots.ljust(self._boot.cluster, b"\0"))
        self._enter_new(directory, name, short_entry(DIRECTORY, cluster, 0), cluster)

    def make_symlink(self, path: bytes, target: bytes) -> None:
        del target
        self._require_writable()
        self._place(path)
        raise OSError(errno.EPERM, "FAT has no symlinks")

    def remove(self, path: bytes) -> None:
        self._require_writable()
        entry = self._find(path)
        if entry is None:
            raise OSError(errno.EBUSY, "is the root of the file system")
        chains: list[int] = []
        self._plan_removal(entry, chains, set())
        self._leave(self._directory(_parent(path)), entry)
        for first in chains:
            self._fat.free(first)

    def rename(self, old: bytes, new: bytes) -> None:
        self._require_writable()
        entry = self._find(old)
        if entry is None:
            raise OSError(errno.EBUSY, "is the root of the file system")
        source = self._directory(_parent(old))
        target, name = self._place(new, may_exist=True)
        if entry.is_directory and (new + b"/").startswith(old.rstrip(b"/") + b"/") and new != old:
            raise OSError(errno.EINVAL, "a directory cannot move into itself")
        taken = target.find(name)
        same = taken is not None and source.first == target.first and taken.slot == entry.slot
        if taken is not None and not same:
            if taken.is_directory and not entry.is_directory:
                raise OSError(errno.EISDIR, "is a directory")
            if entry.is_directory and not taken.is_directory:
                raise OSError(errno.ENOTDIR, "is not a directory")
            if taken.is_directory and self._list(new):
                raise OSError(errno.ENOTEMPTY, "the directory is not empty")
            self.remove(new)
        self._enter(self._directory(_parent(new)), name, entry.raw)
        self._leave(self._directory(_parent(old)), entry)
        if entry.is_directory and source.first != target.first:
            at = self._fat.offset(entry.cluster)
            dots = self._volume.read(at, 2 * ENTRY)
            self._volume.write(at, dots[:ENTRY] + dot_entry(b"..", target.parent_cluster))

    def set_owner(self, path: bytes, uid: int, gid: int) -> None:
        self._require_writable()
        self._find(path)
        _require_root(uid, gid)

    def set_mode(self, path: bytes, mode: int) -> None:
        """Only "may it be written" can be stored, and only of a file; the rest is forgotten."""
        self._require_writable()
        entry = self._find(path)
        if entry is None or entry.is_directory:
            return
        attributes = entry.attributes & ~READ_ONLY | (0 if mode & 0o222 else READ_ONLY)
        self._update(self._directory(_parent(path)), entry, attributes=attributes)

    def set_xattr(self, path: bytes, name: str, value: bytes) -> None:
        del name, value
        self._require_writable()
        self._find(path)
        raise OSError(errno.EOPNOTSUPP, "FAT has no extended attributes")

    # -- finding ---------------------------------------------------------------------------
    def _find(self, path: bytes) -> Entry | None:
        """The entry at *path*; None for the root."""
        directory = Directory(self._volume, self._boot, self._fat, self._boot.root_cluster)
        entry: Entry | None = None
        for part in path.split(b"/"):
            if not part:
                continue
            if entry is not None:
                if not entry.is_directory:
                    raise OSError(errno.ENOTDIR, "is not a directory")
                directory = self._open(entry)
            entry = directory.find(_decoded(part))
            if entry is None:
                raise OSError(errno.ENOENT, "there is no such file or directory")
        return entry

    def _open(self, entry: Entry) -> Directory:
        if not entry.cluster:
            raise OSError(errno.EIO, "the file system is damaged: a directory without content")
        return Directory(self._volume, self._boot, self._fat, entry.cluster)

    def _directory(self, path: bytes) -> Directory:
        entry = self._find(path)
        if entry is None:
            return Directory(self._volume, self._boot, self._fat, self._boot.root_cluster)
        if not entry.is_directory:
            raise OSError(errno.ENOTDIR, "is not a directory")
        return self._open(entry)

    def _list(self, path: bytes) -> Sequence[Entry]:
        return self._directory(path).entries

    def _file(self, path: bytes) -> Entry:
        entry = self._find(path)
        if entry is None or entry.is_directory:
            raise OSError(errno.EISDIR, "is a directory")
        return entry

    def _place(self, path: bytes, *, may_exist: bool = False) -> tuple[Directory, str]:
        directory = self._directory(_parent(path))
        name = _decoded(path.rstrip(b"/").rpartition(b"/")[2])
        if directory.find(name) is not None and not may_exist:
            raise OSError(errno.EEXIST, "the name is taken")
        return directory, name

    def _stat(self, entry: Entry | None) -> StatTuple:
        if entry is None or entry.is_directory:
            directory = self._open(entry) if entry else self._directory(b"/")
            links = 2 + sum(e.is_directory for e in directory.entries)
            return stat.S_IFDIR | 0o755, 0, 0, len(directory.raw), links
        mode = 0o555 if entry.attributes & READ_ONLY else 0o755
        return stat.S_IFREG | mode, 0, 0, entry.size, 1

    # -- contents --------------------------------------------------------------------------
    def _content(self, entry: Entry, limit: int) -> bytes:
        count = min(entry.size, limit)
        if not count or not entry.cluster:
            return b""
        clusters = self._fat.chain(entry.cluster, -(-count // self._boot.cluster))
        return self._fat.read(clusters)[:count]

    def _store(self, content: bytes) -> int:
        """Write *content* to new clusters and return the first; 0 when there is nothing."""
        _require_storable(len(content))
        clusters = self._fat.allocate(-(-len(content) // self._boot.cluster))
        self._fat.write(clusters, content)
        return clusters[0] if clusters else 0

    def _resized(self, entry: Entry, size: int) -> list[int]:
        """The clusters of the file *entry*, made as many as *size* bytes need."""
        wanted = -(-size // self._boot.cluster)
        clusters = self._fat.chain(entry.cluster) if entry.cluster else []
        if not clusters:
            return self._fat.allocate(wanted)
        if not wanted:
            self._fat.free(clusters[0])
        elif wanted < len(clusters):
            self._fat.end(clusters[wanted - 1], clusters[wanted])
        else:
            clusters += self._fat.append(clusters[-1], wanted - len(clusters))
        return clusters[:wanted]

    # -- entries ---------------------------------------------------------------------------
    def _update(
        self,
        directory: Directory,
        entry: Entry,
        *,
        attributes: int | None = None,
        cluster: int | None = None,
        size: int | None = None,
    ) -> None:
        raw = bytearray(entry.raw)
        if attributes is not None:
            raw[11] = attributes
        if cluster is not None:
            put_cluster(raw, cluster)
            raw[18:20], raw[22:26] = stamp()[2:], stamp()
        if size is not None:
            struct.pack_into("<I", raw, 28, size)
        directory.write(entry.slot, bytes(raw))

    def _enter(self, directory: Directory, name: str, raw: bytes) -> None:
        taken = {entry.short.upper() for entry in directory.entries}
        try:
            made = make_entries(name, taken, raw)
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from error
        directory.add(made)

    def _enter_new(self, directory: Directory, name: str, raw: bytes, first: int) -> None:
        """Add a new entry; its clusters are freed when that fails."""
        try:
            self._enter(directory, name, raw)
        except OSError:
            if first:
                self._fat.free(first)
            raise

    def _leave(self, directory: Directory, entry: Entry) -> None:
        raw = bytearray(directory.raw[entry.first * ENTRY : (entry.slot + 1) * ENTRY])
        raw[::ENTRY] = bytes([FREE]) * (len(raw) // ENTRY)
        directory.write(entry.first, bytes(raw))

    def _plan_removal(self, entry: Entry, chains: list[int], seen: set[int]) -> None:
        pending = [entry]
        while pending:
            doomed = pending.pop()
            if doomed.is_directory:
                _require_new(doomed.cluster, seen)
                pending.extend(self._open(doomed).entries)
            if doomed.cluster:
                chains.append(doomed.cluster)

    def _require_writable(self) -> None:
        if not self._writable:
            raise OSError(errno.EROFS, "the file system is mounted read-only")


def _parent(path: bytes) -> bytes:
    return path.rstrip(b"/").rpartition(b"/")[0]


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decoded(name: bytes) -> str:
    if name in {b".", b".."}:
        raise OSError(errno.EINVAL, "the path is not physical")
    return name.decode("utf-8", "surrogateescape")


def _require_root(uid: int, gid: int) -> None:
    if uid or gid:
        raise OSError(errno.EPERM, "FAT has no owners")


def _require_storable(size: int) -> None:
    if size > _FILE_LIMIT:
        raise OSError(errno.EFBIG, "is too large for FAT")


def _require_new(cluster: int, seen: set[int]) -> None:
    if cluster in seen:
        raise OSError(errno.EIO, "the file system is damaged: a directory is in two places")
    seen.add(cluster)
