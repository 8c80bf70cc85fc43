"""`Guest`: the one interface between ``sanitize`` and ``images``.

A guest is its file system tree, mounted as it would mount itself, and the devices below. Paths are
guest paths. Symlinks are resolved inside the guest root, as for a process with that root directory
(chroot), and never reach the host; ``..`` stops at the root. All engines look the same from here.
"""

from __future__ import annotations

import errno
import posixpath
from typing import TYPE_CHECKING

from unclone.images.content_cache import ContentCache
from unclone.images.globs import expand
from unclone.images.resolution import MAX_SYMLINKS, follow
from unclone.images.volumes import FileSystem, Identifier, Kind, Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from unclone.images.layout import Layout
    from unclone.images.volumes import CheckResult, Member, Subvolume, Volumes

__all__ = ["MAX_SYMLINKS", "READ_LIMIT", "Guest", "parent"]

#: Bytes that are read of a file unless the caller gives a limit; guests may hold files of any size.
READ_LIMIT = 16 * 1024 * 1024

_LABEL = "security.selinux"


class Guest:
    """An opened guest. Reads are cached until the next change made through this object."""

    def __init__(self, volumes: Volumes, layout: Layout) -> None:
        self._volumes = volumes
        self.layout = layout
        self._stats: dict[str, Stat | OSError] = {}
        self._scans: dict[str, Mapping[str, Kind]] = {}
        #: By the path that was asked for; empty for what is not a directory.
        self._listings: dict[str, Mapping[str, Kind]] = {}
        self._resolved: dict[tuple[str, bool], str] = {}
        #: What the beginnings of patterns match.
        self._globbed: dict[str, list[str]] = {}
        self._links: dict[str, str] = {}
        self._contents = ContentCache()

    @property
    def engine(self) -> str:
        """The name of the engine."""
        return self._volumes.engine

    # -- looking at paths ------------------------------------------------------------------
    def resolve(self, path: str) -> str:
        """Return the physical path of *path*, with every symlink followed inside the guest.

        The last component need not exist. Raises ``OSError(ELOOP)`` on a symlink loop, with
        ``ENAMETOOLONG`` for a path that nothing in the guest could open, ``NotADirectoryError``
        and ``FileNotFoundError`` for the components before the last.
        """
        return self._resolve(path, follow_last=True)

    def lstat(self, path: str) -> Stat | None:
        """The inode at *path* without following a final symlink; None when there is none."""
        return self._stat(path, follow_last=False)

    def stat(self, path: str) -> Stat | None:
        """The inode at *path*, symlinks followed; None when there is none."""
        return self._stat(path, follow_last=True)

    def exists(self, path: str) -> bool:
        """Whether anything is at *path*, a dangling symlink included."""
        return self.lstat(path) is not None

    def is_file(self, path: str) -> bool:
        """Whether *path* leads to a regular file."""
        return self._leads_to(path) is Kind.FILE

    def is_dir(self, path: str) -> bool:
        """Whether *path* leads to a directory."""
        return self._leads_to(path) is Kind.DIRECTORY

    def list(self, path: str) -> Sequence[str]:
        """The sorted names in the directory at *path*; empty when it is not a directory."""
        return sorted(self.kinds(path))

    def kinds(self, path: str) -> Mapping[str, Kind]:
        """What each name in the directory at *path* is; empty when it is not a directory."""
        if path not in self._listings:
            self._listings[path] = self._scan_physical(path)
        return self._listings[path]

    def kind(self, path: str) -> Kind | None:
        """What *path* leads to, symlinks followed; None for nothing.

        The listing of the directory answers: for many files in one, that is a single call.
        """
        try:
            above, name = posixpath.split(self.resolve(path))
        except OSError:
            return None
        return self.kinds(above).get(name) if name else Kind.DIRECTORY

    def glob(self, pattern: str) -> Sequence[str]:
        """The sorted guest paths that match *pattern*: ``*``, ``?``, ``[...]`` per component.

        Hidden names match, too. Directories in the pattern may be symlinks; the paths
        returned are spelled as the pattern spells them. A pattern without wildcards returns the
        path itself when something is there.
        """
        return sorted(expand(pattern, self.kinds, self._has, self.prefetch, self._globbed))

    def readlink(self, path: str) -> str:
        """The text of the symlink at *path*."""
        return self._link(self._resolve(path, follow_last=False))

    # -- reading ---------------------------------------------------------------------------
    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The content of the regular file at *path*, at most *limit* bytes.

        Raises ``FileNotFoundError`` when there is none, ``IsADirectoryError`` or
        ``OSError(EINVAL)`` when it is something else (a device node is never opened).
        """
        physical = self.resolve(path)
        if (known := self._contents.get(physical, limit)) is not None:
            return known
        kind = self._kind(physical)
        if kind is Kind.DIRECTORY:
            raise IsADirectoryError(errno.EISDIR, "is a directory in the guest", path)
        if kind is not Kind.FILE:
            raise OSError(errno.EINVAL, "is not a regular file in the guest", path)
        return self._contents.keep(physical, self._volumes.read(physical, limit), limit)

    def read_text(self, path: str, limit: int = READ_LIMIT) -> str:
        """As :meth:`read`, decoded as UTF-8 with surrogate escapes (PEP 383) for other bytes."""
        return self.read(path, limit).decode("utf-8", "surrogateescape")

    def text_or_empty(self, path: str, limit: int = READ_LIMIT) -> str:
        """The text of *path*, or "" when it is not a readable regular file."""
        try:
            return self.read_text(path, limit)
        except OSError:
            return ""

    def xattrs(self, path: str) -> Mapping[str, bytes]:
        """The extended attributes of *path* (a final symlink is not followed)."""
        return self._volumes.get_xattrs(self._resolve(path, follow_last=False))

    def walk(
        self, path: str, *, exclude: Iterable[str] = (), limit: int = READ_LIMIT
    ) -> Iterator[Member]:
        """Every inode below directory *path* with the first *limit* bytes of each file."""
        if self.is_dir(path):
            yield from self._volumes.walk(self.resolve(path), exclude=tuple(exclude), limit=limit)

    def search(
        self,
        paths: Iterable[str],
        needles: Sequence[bytes],
        *,
        exclude: Iterable[str] = (),
        limit: int,
    ) -> Sequence[str]:
        """The paths below *paths* with one of *needles* in the name, link text or content.

        Paths that are not directories are left out. Files larger than *limit* are not read.
        """
        physical = sorted({self.resolve(path) for path in paths if self.is_dir(path)})
        tops = [p for p in physical if not any(p.startswith(f"{other}/") for other in physical)]
        return self._volumes.search(tops, needles, exclude=tuple(exclude), limit=limit)

    def prefetch(self, directories: Iterable[str] = (), files: Iterable[str] = ()) -> None:
        """Say what will be listed and read next, so that the engine may read it at once."""
        unlisted = (p for p in directories if p not in self._listings and self.is_dir(p))
        wanted = {self.resolve(path) for path in unlisted} - self._scans.keys()
        small = {self.resolve(path) for path in files if self.is_file(path)}
        unread = [path for path in small if self._contents.get(path, 1) is None]
        if len(wanted) + len(unread) > 1:
            self._volumes.prefetch(sorted(wanted), sorted(unread))

    # -- changing --------------------------------------------------------------------------
    def write(self, path: str, content: bytes, *, keep: int = 0) -> None:
        """Replace the content of an existing regular file in place; owner, mode and label stay.

        The first *keep* bytes stay, and *content* follows them: a large file is not written again.
        """
        physical = self.resolve(path)
        if self._lstat(physical).kind is not Kind.FILE:
            raise OSError(errno.EINVAL, "is not a regular file in the guest", path)
        self._forget()
        self._volumes.write(physical, content, keep=keep)

    def create(
        self,
        path: str,
        content: bytes,
        *,
        like: str = "",
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        """Make a regular file. It gets the owner and SELinux label of the path *like*.

        *uid* and *gid* are used where *like* does not exist.
        """
        uid, gid, label = self._owner_like(like, uid, gid)
        physical = self._changing(path)
        self._volumes.create(physical, content, mode=mode, uid=uid, gid=gid)
        if label is not None:
            self._volumes.set_xattr(physical, _LABEL, label)

    def remove(self, path: str) -> None:
        """Remove what is at *path*: a file, a symlink itself, or a whole tree.

        Of a mount point the content is removed, and the directory stays.
        """
        physical = self._resolve(path, follow_last=False)
        below = [m for m in self.layout.mounts if m == physical or m.startswith(f"{physical}/")]
        if physical == "/":
            raise OSError(errno.EPERM, "refusing to remove the guest root", path)
        if below:
            for name in self.list(physical):
                self.remove(f"{physical}/{name}")
            return
        self._forget()
        self._volumes.remove(physical)

    def rename(self, old: str, new: str) -> None:
        """Rename within one file system of the guest."""
        source = self._resolve(old, follow_last=False)
        self._volumes.rename(source, self._changing(new))

    def make_directory(
        self, path: str, *, like: str = "", mode: int = 0o755, uid: int = 0, gid: int = 0
    ) -> None:
        """Make one directory, with *like* as for :meth:`create`."""
        uid, gid, label = self._owner_like(like, uid, gid)
        physical = self._changing(path)
        self._volumes.make_directory(physical, mode=mode, uid=uid, gid=gid)
        if label is not None:
            self._volumes.set_xattr(physical, _LABEL, label)

    def make_symlink(self, path: str, target: str) -> None:
        """Make a symlink at *path* with *target* as its text."""
        self._volumes.make_symlink(self._changing(path), target)

    def set_owner(self, path: str, *, uid: int, gid: int) -> None:
        """Change owner and group (of a symlink itself)."""
        self._volumes.set_owner(self._changing(path), uid=uid, gid=gid)

    def set_mode(self, path: str, mode: int) -> None:
        """Change the permission bits of what *path* leads to."""
        physical = self.resolve(path)
        self._forget()
        self._volumes.set_mode(physical, mode)

    # -- devices ---------------------------------------------------------------------------
    def file_systems(self) -> Sequence[FileSystem]:
        """Every file system, swap area and container on the guest's disks."""
        return self._volumes.file_systems()

    def identifiers(self) -> Sequence[Identifier]:
        """Every device-level identifier, read now."""
        return self._volumes.identifiers()

    def unsettable(self, identifier: Identifier) -> str:
        """Why *identifier* cannot be set to another value, as text; "" when it can.

        Changes nothing; file systems stay mounted.
        """
        return self._volumes.unsettable(identifier)

    def set_identifiers(self, identifiers: Iterable[Identifier]) -> None:
        """Unmount everything and set each of *identifiers* to its value.

        Read back with :meth:`identifiers`; mount again with :meth:`reopen`. Device names stay the
        same, also those that are made of an old identifier.
        """
        self.unmounted().set_identifiers(tuple(identifiers))

    def subvolumes(self, device: str) -> Sequence[Subvolume]:
        """The subvolumes of the mounted btrfs on *device*, read now."""
        place = next(m.mount_point for m in self.layout.mounts_in_order if m.device == device)
        return self._volumes.subvolumes(place)[0]

    def unmounted(self) -> Volumes:
        """The volumes, after unmounting everything; :meth:`reopen` mounts it again."""
        self._forget()
        self._volumes.unmount_all()
        return self._volumes

    def reopen(self) -> Callable[[], Sequence[CheckResult]]:
        """Unmount everything, begin to check every file system, and mount all of it read-only.

        Later reads come from the disks. The function returned waits for the results of the checks;
        before that, a read of a damaged file system may raise any ``OSError``.
        """
        volumes = self.unmounted()
        checks = [volumes.begin_check(device) for device in self.layout.checkable]
        self.layout.mount(volumes, read_only=True)
        return lambda: [check() for check in checks]

    # -- helpers ---------------------------------------------------------------------------
    def _forget(self) -> None:
        self._stats.clear()
        self._scans.clear()
        self._listings.clear()
        self._resolved.clear()
        self._globbed.clear()
        self._links.clear()
        self._contents.clear()

    def _owner_like(self, like: str, uid: int, gid: int) -> tuple[int, int, bytes | None]:
        """Owner, group and SELinux label of *like*, where there is one."""
        pattern = self.lstat(like) if like else None
        if pattern is None:
            return uid, gid, None
        return pattern.uid, pattern.gid, self.xattrs(like).get(_LABEL)

    def _changing(self, path: str) -> str:
        physical = self._resolve(path, follow_last=False)
        self._forget()
        return physical

    def _stat(self, path: str, *, follow_last: bool) -> Stat | None:
        try:
            return self._lstat(self._resolve(path, follow_last=follow_last))
        except OSError as error:
            _require_absence(error)
            return None

    def _leads_to(self, path: str) -> Kind | None:
        """What *path* leads to, symlinks followed; None for nothing."""
        try:
            return self._kind(self.resolve(path))
        except OSError as error:
            _require_absence(error)
            return None

    def _lstat(self, physical: str) -> Stat:
        known = self._stats.get(physical)
        if known is None:
            siblings = self._scans.get(parent(physical))
            if siblings is not None and physical.rsplit("/", 1)[-1] not in siblings:
                raise FileNotFoundError(errno.ENOENT, "no such file in the guest", physical)
            try:
                known = self._volumes.lstat(physical)
            except (FileNotFoundError, NotADirectoryError) as error:
                known = error
            self._stats[physical] = known
        if isinstance(known, OSError):
            raise known
        return known

    def _kind(self, physical: str) -> Kind:
        # The listing of a directory has it already: no call to the engine.
        above, _, name = physical.rpartition("/")
        return self._scans.get(above or "/", {}).get(name) or self._lstat(physical).kind

    def _scan_physical(self, path: str) -> Mapping[str, Kind]:
        if not self.is_dir(path or "/"):
            return {}
        physical = self.resolve(path or "/")
        if physical not in self._scans:
            self._scans[physical] = self._volumes.scan(physical)
        return self._scans[physical]

    def _has(self, base: str, name: str) -> bool:
        # The listing of a directory answers for every name in it: one call instead of many.
        return self.exists(f"{base}/{name}") if name == ".." else name in self.kinds(base)

    def _resolve(self, path: str, *, follow_last: bool) -> str:
        known = self._resolved.get((path, follow_last))
        if known is None:
            known = self._resolved[path, follow_last] = follow(
                path, self._kind, self._link, last=follow_last
            )
        return known

    def _link(self, physical: str) -> str:
        if physical not in self._links:
            self._links[physical] = self._volumes.readlink(physical)
        return self._links[physical]


def _require_absence(error: OSError) -> None:
    """Raise *error* again unless it says that nothing is there."""
    absent = isinstance(error, FileNotFoundError | NotADirectoryError)
    if not absent and error.errno not in {errno.ELOOP, errno.ENAMETOOLONG}:
        raise error


def parent(path: str) -> str:
    """The directory part of a guest path."""
    return posixpath.dirname(path) or "/"
