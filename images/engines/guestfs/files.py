"""Path operations on the mounted guest: one inode, one call to the appliance.

A call that makes a system call there takes one or two milliseconds; one that starts a program takes
fifty times as long under software emulation. So programs are started only where there is no system
call: to remove a tree, and to set attribute values that libguestfs cannot pass.
"""

from __future__ import annotations

import base64
import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs.appliance import shell_value
from unclone.images.engines.guestfs.native import CHUNK, decode, encode
from unclone.images.engines.guestfs.traversal import search, walk
from unclone.images.errors import EngineError
from unclone.images.volumes import Kind, Stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.engines.guestfs.appliance import Appliance
    from unclone.images.volumes import Member

_KINDS = {b"r": Kind.FILE, b"d": Kind.DIRECTORY, b"l": Kind.SYMLINK}

#: The errno of messages of ``rm``, ``ln`` and ``setfattr``: libguestfs returns only the text.
_ERRNO_OF_MESSAGE = {
    "Operation not permitted": errno.EPERM,
    "No such file or directory": errno.ENOENT,
    "Not a directory": errno.ENOTDIR,
    "File name too long": errno.ENAMETOOLONG,
    "Permission denied": errno.EACCES,
    "Read-only file system": errno.EROFS,
    "Device or resource busy": errno.EBUSY,
    "No space left on device": errno.ENOSPC,
    "Input/output error": errno.EIO,
    "Structure needs cleaning": errno.EUCLEAN,
}


class FileOperations:
    """The path operations of :class:`unclone.images.volumes.Volumes`."""

    def __init__(self, appliance: Appliance) -> None:
        """For the file systems that are mounted in *appliance*."""
        self._appliance = appliance
        self._native = appliance.native

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: str) -> Stat:
        """The inode at *path*."""
        found = self._appliance.call(lambda: self._native.lstat(path))
        return Stat(
            kind=_kind(found.st_mode),
            mode=stat.S_IMODE(found.st_mode),
            uid=found.st_uid,
            gid=found.st_gid,
            size=found.st_size,
            links=found.st_nlink,
        )

    def scan(self, path: str) -> Mapping[str, Kind]:
        """The names in directory *path* and what each is."""
        self._require_directory(path)
        entries = self._appliance.call(lambda: self._native.readdir(path))
        names: dict[str, Kind] = {}
        for raw, letter in entries:
            if raw not in {b".", b".."}:
                name = decode(raw)
                known = letter in b"rdlbcfs"  # some file systems do not say; "u" is unknown
                names[name] = _KINDS.get(letter, Kind.OTHER) if known else self._kind(path, name)
        return names

    def prefetch(self, directories: Sequence[str], files: Sequence[str]) -> None:
        """Nothing to do: a call takes little."""

    def readlink(self, path: str) -> str:
        """The target text of the symlink at *path*."""
        return decode(self._appliance.call(lambda: self._native.readlink(path)))

    def read(self, path: str, limit: int) -> bytes:
        """The first *limit* bytes of the regular file at *path*."""
        self._require_file(path)
        return self._appliance.call(lambda: self._native.read(path, limit))

    def get_xattrs(self, path: str) -> Mapping[str, bytes]:
        """The extended attributes of *path*."""
        found = self._appliance.call(lambda: self._native.lgetxattrs(path))
        return {decode(name): value for name, value in found.items()}

    def walk(self, path: str, *, exclude: Sequence[str], limit: int) -> Iterator[Member]:
        """Every inode below directory *path*, on mounted file systems below it too."""
        self._require_directory(path)
        return walk(self._appliance, path, exclude=exclude, limit=limit)

    def search(
        self, paths: Sequence[str], needles: Sequence[bytes], *, exclude: Sequence[str], limit: int
    ) -> Sequence[str]:
        """Everything below *paths* that holds one of *needles*."""
        return search(self._appliance, paths, needles, exclude=exclude, limit=limit)

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: str, content: bytes, *, keep: int = 0) -> None:
        """Replace what the regular file at *path* holds behind its first *keep* bytes, in place."""
        self._require_file(path)
        if keep:
            content = self.read(path, keep) + content
        raw, first = encode(path), content[:CHUNK]
        self._status("write", raw, first, len(first), path=path)
        offset = len(first)
        while offset < len(content):
            part = content[offset : offset + CHUNK]
            offset += self._status("pwrite", raw, part, len(part), offset, path=path)

    def create(self, path: str, content: bytes, *, mode: int, uid: int, gid: int) -> None:
        """Make a regular file; ``FileExistsError`` when the name is taken."""
        raw = encode(path)
        # mknod(2) opens and replaces nothing. The mode is 0600 until the file is complete.
        self._status("mknod", stat.S_IFREG | 0o600, 0, 0, raw, path=path)
        self.write(path, content)
        self._status("lchown", uid, gid, raw, path=path)
        self._status("chmod", mode, raw, path=path)

    def remove(self, path: str) -> None:
        """Remove the file, symlink or whole tree at *path*."""
        raw = encode(path)
        try:
            self._status("rm", raw, path=path)
        except IsADirectoryError:
            self._remove_tree(path, raw)

    def rename(self, old: str, new: str) -> None:
        """Rename within one file system, replacing a file at *new*."""
        self._status("rename", encode(old), encode(new), path=old)

    def make_directory(self, path: str, *, mode: int, uid: int, gid: int) -> None:
        """Make one directory."""
        raw = encode(path)
        self._status("mkdir_mode", raw, 0o700, path=path)
        self._status("lchown", uid, gid, raw, path=path)
        self._status("chmod", mode, raw, path=path)

    def make_symlink(self, path: str, target: str) -> None:
        """Make a symlink at *path* that holds *target* as its text."""
        if not target:
            raise FileNotFoundError(errno.ENOENT, "a symlink needs a target", path)
        self._require_nothing(path)  # ln(1) would make it inside of a directory at *path*
        try:
            self._status("ln_s", encode(target), encode(path), path="")
        except EngineError as error:
            raise _as_os_error(error, path) from error

    def set_owner(self, path: str, *, uid: int, gid: int) -> None:
        """Change owner and group."""
        self._status("lchown", uid, gid, encode(path), path=path)

    def set_mode(self, path: str, mode: int) -> None:
        """Change the permission bits."""
        if self.lstat(path).kind is Kind.SYMLINK:
            raise OSError(errno.EOPNOTSUPP, "a symlink has no permission bits", path)
        self._status("chmod", mode, encode(path), path=path)

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        """Set one extended attribute."""
        # libguestfs takes the value as a C string, but values with null bytes are common.
        self.lstat(path)
        option = f"-v 0s{base64.b64encode(value).decode('ascii')}" if value else ""
        try:
            self._appliance.shell(
                shell_value("path", b"/sysroot" + encode(path))
                + shell_value("name", encode(name))
                + f'setfattr -h -n "$name" {option} -- "$path"'
            )
        except EngineError as error:
            raise _as_os_error(error, path) from error

    # -- helpers ---------------------------------------------------------------------------
    def _status(self, name: str, *arguments: object, path: str) -> int:
        call = self._native.status
        return self._appliance.call(lambda: call(name, *arguments, path=path))

    def _kind(self, folder: str, name: str) -> Kind:
        return self.lstat(f"{folder.rstrip('/')}/{name}").kind

    def _require_file(self, path: str) -> None:
        """Raise OSError for anything else: a symlink would be followed, a fifo would block."""
        found = self.lstat(path)
        if found.kind is Kind.DIRECTORY:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if found.kind is not Kind.FILE:
            raise OSError(errno.EINVAL, "is not a regular file in the guest", path)

    def _require_directory(self, path: str) -> None:
        """Raise OSError for anything else: an absolute symlink would lead out of the guest."""
        if self.lstat(path).kind is not Kind.DIRECTORY:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def _require_nothing(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.lstat(path)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)

    def _remove_tree(self, path: str, raw: bytes) -> None:
        try:
            self._status("rmdir", raw, path=path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
        try:
            self._status("rm_rf", raw, path="")
        except EngineError as error:
            raise _as_os_error(error, path) from error


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.SYMLINK if stat.S_ISLNK(mode) else Kind.OTHER


def _as_os_error(error: EngineError, path: str) -> Exception:
    """The ``OSError`` for a program's message; *error* itself when the message is not known."""
    for message, number in _ERRNO_OF_MESSAGE.items():
        if error.message.endswith(message):
            return OSError(number, f"{os.strerror(number)} (in the guest: {error.message})", path)
    return error
