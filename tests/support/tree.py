"""A guest over a host folder: the fast stand-in for an engine in tests of ``sanitize``.

It is an honest ``Volumes`` (real inodes, real errors) without devices: enough
for everything that only looks at and changes files. Owners are recorded, not changed, unless the
tests run as root. The conformance suite runs on it as well.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from typing import IO, TYPE_CHECKING

from unclone.images.errors import EngineError
from unclone.images.guest import Guest
from unclone.images.layout import Layout, Mount
from unclone.images.needles import Needles
from unclone.images.volumes import (
    CheckResult,
    CheckState,
    FileSystem,
    Identifier,
    Kind,
    Member,
    Stat,
    Subvolume,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


def guest_at(folder: Path) -> Guest:
    """A guest whose root is *folder*."""
    return Guest(TreeVolumes(folder), Layout((Mount("tree", "/", "tree"),)))


def plant(folder: Path, files: Mapping[str, str | bytes | None]) -> None:
    """Fill *folder*: ``path: content``; None makes a directory, ``"-> target"`` a symlink."""
    for name, content in files.items():
        path = folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir(exist_ok=True)
        elif isinstance(content, str) and content.startswith("-> "):
            path.symlink_to(content[3:])
        else:
            data = (
                content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
            )
            path.write_bytes(data)


class TreeVolumes:
    """:class:`unclone.images.volumes.Volumes` over a folder of the host."""

    engine = "tree"

    def __init__(self, folder: Path) -> None:
        self._folder = os.fsencode(folder)
        #: As if the folder were the top of a btrfs.
        self.listed: tuple[Subvolume, ...] = ()

    # -- devices ---------------------------------------------------------------------------
    def file_systems(self) -> Sequence[FileSystem]:
        return (FileSystem("tree", "tree"),)

    def identifiers(self) -> Sequence[Identifier]:
        return ()

    def volume_snapshots(self) -> Mapping[str, str]:
        return {}

    def unsettable(self, identifier: Identifier) -> str:
        return f"a folder has no {identifier.kind}"

    def set_identifiers(self, identifiers: Sequence[Identifier]) -> None:
        for identifier in identifiers:
            raise EngineError(self.unsettable(identifier))

    def check(self, device: str, *, repair: bool, force: bool = True) -> CheckResult:
        return CheckResult(device, "ext4", CheckState.CLEAN, "")

    def begin_check(self, device: str) -> Callable[[], CheckResult]:
        result = self.check(device, repair=False)
        return lambda: result

    def mount(self, device: str, mount_point: str, *, subvolume: str, read_only: bool) -> None:
        pass

    def subvolumes(self, mount_point: str) -> tuple[Sequence[Subvolume], str]:
        return self.listed, ""

    def delete_subvolumes(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.remove(f"/{path}")
        self.listed = tuple(each for each in self.listed if each.path not in paths)

    def unmount_all(self) -> None:
        pass

    # -- reading ---------------------------------------------------------------------------
    def lstat(self, path: str) -> Stat:
        return _stat(os.lstat(self._host(path)))

    def scan(self, path: str) -> Mapping[str, Kind]:
        if self.lstat(path).kind is not Kind.DIRECTORY:
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory", path)
        with os.scandir(self._host(path)) as entries:
            return {
                os.fsdecode(e.name): _kind(e.stat(follow_symlinks=False).st_mode) for e in entries
            }

    def readlink(self, path: str) -> str:
        return os.fsdecode(os.readlink(self._host(path)))

    def read(self, path: str, limit: int) -> bytes:
        with self._open(path, os.O_RDONLY) as file:
            return file.read(limit)

    def prefetch(self, directories: Sequence[str], files: Sequence[str]) -> None:
        pass

    def get_xattrs(self, path: str) -> Mapping[str, bytes]:
        host = self._host(path)
        return {
            name: os.getxattr(host, name, follow_symlinks=False)
            for name in os.listxattr(host, follow_symlinks=False)
        }

    def walk(self, path: str, *, exclude: Sequence[str], limit: int) -> Iterator[Member]:
        for name in sorted(self.scan(path)):
            below = f"{path.rstrip('/')}/{name}"
            found = self.lstat(below)
            if below in exclude:
                continue
            if found.kind is Kind.FILE:
                yield Member(below, found, content=self.read(below, limit))
            elif found.kind is Kind.SYMLINK:
                yield Member(below, found, link_target=self.readlink(below))
            else:
                yield Member(below, found)
                if found.kind is Kind.DIRECTORY:
                    yield from self.walk(below, exclude=exclude, limit=limit)

    def search(
        self, paths: Sequence[str], needles: Sequence[bytes], *, exclude: Sequence[str], limit: int
    ) -> Sequence[str]:
        wanted = Needles(needles)

        def holds(member: Member) -> bool:
            texts = [member.path.rsplit("/", 1)[-1], member.link_target]
            contents = [text.encode("utf-8", "surrogateescape") for text in texts]
            if member.content is not None and member.stat.size <= limit:
                contents.append(member.content)
            return any(map(wanted.are_in, contents))

        members = (m for path in paths for m in self.walk(path, exclude=exclude, limit=limit))
        return sorted(member.path for member in members if holds(member))

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: str, content: bytes, *, keep: int = 0) -> None:
        kept = self.read(path, keep)
        with self._open(path, os.O_WRONLY | os.O_TRUNC) as file:
            file.write(kept + content)

    def create(self, path: str, content: bytes, *, mode: int, uid: int, gid: int) -> None:
        with self._open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            file.write(content)
        self.set_owner(path, uid=uid, gid=gid)  # takes the set-uid bit away
        self.set_mode(path, mode)

    def remove(self, path: str) -> None:
        host = self._host(path)
        if stat.S_ISDIR(os.lstat(host).st_mode):
            shutil.rmtree(host)
        else:
            os.unlink(host)

    def rename(self, old: str, new: str) -> None:
        os.rename(self._host(old), self._host(new))

    def make_directory(self, path: str, *, mode: int, uid: int, gid: int) -> None:
        os.mkdir(self._host(path))
        self.set_owner(path, uid=uid, gid=gid)  # takes the set-uid bit away
        self.set_mode(path, mode)

    def make_symlink(self, path: str, target: str) -> None:
        os.symlink(os.fsencode(target), self._host(path))

    def set_owner(self, path: str, *, uid: int, gid: int) -> None:
        if os.geteuid() == 0:
            os.chown(self._host(path), uid, gid, follow_symlinks=False)

    def set_mode(self, path: str, mode: int) -> None:
        os.chmod(self._host(path), mode)

    def set_xattr(self, path: str, name: str, value: bytes) -> None:
        os.setxattr(self._host(path), name, value, follow_symlinks=False)

    def close(self) -> None:
        pass

    # -- helpers ---------------------------------------------------------------------------
    def _host(self, path: str) -> bytes:
        """The host path of a physical guest path; proves that it is one."""
        assert path.startswith("/"), path
        parts = [p for p in os.fsencode(path).split(b"/") if p]
        assert b".." not in parts, path
        for depth in range(1, len(parts)):
            above = os.path.join(self._folder, *parts[:depth])
            if os.path.islink(above):
                raise AssertionError(f"{path} is not physical: {above!r} is a symlink")
        return os.path.join(self._folder, *parts)

    def _open(self, path: str, flags: int) -> IO[bytes]:
        host = self._host(path)
        made = flags & os.O_EXCL
        if not made and os.path.lexists(host) and not stat.S_ISREG(os.lstat(host).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        return os.fdopen(os.open(host, flags | os.O_NOFOLLOW, 0o600), "rb" if flags == 0 else "wb")


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.SYMLINK if stat.S_ISLNK(mode) else Kind.OTHER


def _stat(found: os.stat_result) -> Stat:
    return Stat(
        kind=_kind(found.st_mode),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size,
        links=found.st_nlink,
    )
