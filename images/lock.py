"""QEMU's own image locks, held by this process.

QEMU locks single bytes of an image file with open file description locks. A process that uses
permission p holds a read lock on byte 100 + p; one that forbids it to others holds a read lock on
byte 200 + p. Each takes its locks first and then tests for conflicts with other processes. In this
way a VM, ``qemu-img`` and this module exclude each other.

Open file description locks belong to the open file: a child that inherits the descriptor keeps the
lock when its parent is killed, and the kernel releases it with the last descriptor.

References: QEMU 7.2 ``block/file-posix.c`` (RAW_LOCK_PERM_BASE, raw_apply_lock_bytes,
raw_check_lock_bytes), ``include/block/block-common.h`` (BLK_PERM_*); fcntl(2), "Open file
description locks".
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from unclone.images import openers
from unclone.images.errors import InUseError, RefusedError
from unclone.images.pinned import pinned_name
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from unclone.images.image import Image

# Missing from the fcntl module before Python 3.13; linux/fcntl.h.
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37
_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux

_PERM_BASE, _SHARED_BASE = 100, 200


class _Permission(IntEnum):
    CONSISTENT_READ = 0
    WRITE = 1
    WRITE_UNCHANGED = 2
    RESIZE = 3


class _Mode(NamedTuple):
    uses: frozenset[_Permission]
    forbids: frozenset[_Permission]


_EXCLUSIVE = _Mode(uses=frozenset(_Permission), forbids=frozenset(_Permission))
#: As ``qemu-img convert`` holds its source: others may read it and not change it.
_SHARED = _Mode(
    uses=frozenset({_Permission.CONSISTENT_READ}),
    forbids=frozenset({_Permission.WRITE, _Permission.RESIZE}),
)


class ImageLock:
    """Locks on any number of image files, all released together."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], tuple[int, _Mode]] = {}

    def exclusive(self, paths: Iterable[Path]) -> None:
        """Lock *paths* against every other user. A shared lock that is held becomes exclusive.

        Raises InUseError when another process has one of them open, RefusedError when a file may
        not be written or its file system does not support such locks.
        """
        self._take(paths, _EXCLUSIVE)

    def shared(self, paths: Iterable[Path]) -> None:
        """Lock *paths* against writers; others may read. Raises as :meth:`exclusive`."""
        self._take(paths, _SHARED)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The file descriptors with the locks, for ``process.run(keep_open=...)``."""
        return tuple(descriptor for descriptor, _ in self._held.values())

    def covers(self, path: Path) -> bool:
        """Whether the file at *path* is now one of those locked."""
        return self._mode(path) is not None

    def pin(self, image: Image) -> Image:
        """*image* and its chain with pinned names of the files that are locked.

        Raises InUseError unless those are the files that were read.
        """
        try:
            pins = tuple(pinned_name(self._held[inode][0]) for inode in image.inodes)
        except KeyError:
            raise InUseError(
                f"{shown(image.path)} changed while it was being opened", hint="Try again."
            ) from None
        return replace(image, pins=pins, backing=image.backing and self.pin(image.backing))

    def name(self, path: Path) -> Path:
        """A pinned name of the locked file that is at *path*. Raises RefusedError for another."""
        found = path.lstat()
        try:
            return pinned_name(self._held[found.st_dev, found.st_ino][0])
        except KeyError:
            raise RefusedError(f"{shown(path)} was replaced by another file meanwhile") from None

    def release(self) -> None:
        """Release every lock. Safe to call twice."""
        while self._held:
            _, (descriptor, _) = self._held.popitem()
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _mode(self, path: Path) -> _Mode | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return self._held.get((found.st_dev, found.st_ino), (0, None))[1]

    def _take(self, paths: Iterable[Path], mode: _Mode) -> None:
        for path in paths:
            # Before the file is opened here: our own writable descriptor would be found, too.
            ours = self._mode(path) is _EXCLUSIVE
            others = () if ours else openers.find(path, writers_only=mode is _SHARED)
            descriptor = _open(path, writable=mode is _EXCLUSIVE)
            found = os.fstat(descriptor)
            key = found.st_dev, found.st_ino
            if key in self._held:
                os.close(descriptor)
                descriptor, before = self._held[key]
                if before is _EXCLUSIVE or before is mode:
                    continue
            self._held[key] = descriptor, mode
            _apply(descriptor, path, mode)
            if others:
                raise _in_use(path, others)


def _open(path: Path, *, writable: bool) -> int:
    flags = os.O_RDWR if writable else os.O_RDONLY
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        # EPERM is an immutable file, EROFS a read-only file system, ETXTBSY a program.
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ETXTBSY}:
            raise RefusedError(
                f"{shown(path)} cannot be opened for {'writing' if writable else 'reading'}: "
                f"{error.strerror}",
                hint="Use --output FILE to leave it as it is, or run as its owner or with sudo.",
            ) from error
        raise RefusedError(f"{shown(path)} cannot be opened: {error.strerror}") from error


def _apply(descriptor: int, path: Path, mode: _Mode) -> None:
    for permission in mode.uses:
        _lock(descriptor, path, _PERM_BASE + permission)
    for permission in mode.forbids:
        _lock(descriptor, path, _SHARED_BASE + permission)
    contradicted = any(_taken(descriptor, _SHARED_BASE + p) for p in mode.uses) or any(
        _taken(descriptor, _PERM_BASE + p) for p in mode.forbids
    )
    if contradicted:
        raise _in_use(path, openers.names(path))


def _in_use(path: Path, users: Sequence[str]) -> InUseError:
    return InUseError(
        f"{shown(path)} is in use ({'; '.join(users) or 'a running VM, or another unclone?'})",
        hint="Shut the VM down, unmount or detach the image, or wait for the process, and try "
        "again.",
    )


def _lock(descriptor: int, path: Path, byte: int) -> None:
    try:
        fcntl.fcntl(descriptor, _F_OFD_SETLK, _flock(fcntl.F_RDLCK, byte))
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:  # a write lock, which QEMU never takes
            raise InUseError(
                f"{shown(path)} is locked by another process", hint="Wait for it, and try again."
            ) from error
        raise RefusedError(
            f"{shown(path)} cannot be locked ({error.strerror}): its file system does not "
            "support the locks by which a running VM is recognised",
            hint="Copy the image to a local file system first.",
        ) from error


def _taken(descriptor: int, byte: int) -> bool:
    answer = fcntl.fcntl(descriptor, _F_OFD_GETLK, _flock(fcntl.F_WRLCK, byte))
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def _flock(kind: int, byte: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0)
