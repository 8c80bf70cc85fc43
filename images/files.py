"""Durable writes, and the identity of a file under its name.

References: fsync(2) (a directory entry needs an fsync of the directory), syncfs(2), stat(1) ``%W``.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import UncloneError
from unclone.images.interrupts import deferred
from unclone.images.pinned import is_pinned, pinned_name
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO


#: Bytes that are written at once.
_BUFFER = 64 * 1024

#: Bytes; longer file names are shortened.
_SHORT = 100

#: Nanoseconds: a file that was written later may be written again with the same time.
SETTLED = 2_000_000_000


class Identity(NamedTuple):
    """Identifies a file: unchanged by a rename or a write, different for a copy.

    An inode number is used again after its file was deleted, so the time of birth is added
    (seconds, as text; "0..." where the file system does not record it). The device number is left
    out because it may change when the host restarts.
    """

    inode: int
    birth: str


def identity(path: Path) -> Identity:
    """The identity of the file at *path*."""
    from unclone.images import process  # noqa: PLC0415 (loads subprocess; rarely needed)

    # -L: a pinned name is a link.
    birth = process.run(["stat", "-L", "--printf=%.W", "--", path], timeout=60).stdout
    return Identity(path.stat().st_ino, birth.decode("ascii", "replace"))


def settled_state(path: Path) -> tuple[int, ...]:
    """Numbers that are others when the content of the file at *path* is another; () for now.

    Which file it is, its size, and both times; that of the last change of an inode cannot be set.
    A file that was written just now may be written again without another time.
    """
    found = path.stat()
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def sync_file(path: Path) -> None:
    """Write what the kernel caches of the file at *path* to the disk."""
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Make additions to and removals from directory *path* durable."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_file_system(path: Path) -> None:
    """Make everything on the file system of directory *path* durable. Raises UncloneError."""
    import ctypes  # noqa: PLC0415 (rarely needed)

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise UncloneError(f"cannot write {shown(path)}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes, *, like: Path) -> None:
    """Make or replace *path* with *content*, completely or not at all.

    It gets the owner of *like* and mode 0600.
    """
    temporary = draft_path(path)
    temporary.unlink(missing_ok=True)
    try:
        # By descriptor: whoever may write to the directory can put a symlink under that name.
        with os.fdopen(open_private(temporary, like), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            require_same(temporary, file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def draft_path(path: Path) -> Path:
    """The temporary name under which :func:`write_durably` writes the file at *path*."""
    return path.with_name(f"{short_name(path.name)}.new")


def short_name(name: str) -> str:
    """*name*, or a shorter name derived from it, so that 40 bytes can be added.

    A file name has at most 255 bytes, 143 with eCryptfs.
    """
    if len(os.fsencode(name)) <= _SHORT:
        return name
    import hashlib  # noqa: PLC0415 (rarely needed)

    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    begin = os.fsencode(name)[: _SHORT - len(digest) - 1].decode("utf-8", "ignore")
    return f"{begin}~{digest}"


def remove_durably(paths: Iterable[Path]) -> None:
    """Remove the files at *paths* that exist, and make that durable."""
    directories = set()
    for path in paths:
        path.unlink(missing_ok=True)
        directories.add(path.parent)
    for directory in directories:
        sync_directory(directory)


def create_private(path: Path, *, like: Path | None = None) -> None:
    """Make an empty file of mode 0600; made by root, it gets the owner of *like*."""
    os.close(open_private(path, like))


def create_pinned(path: Path, *, like: Path | None = None) -> int:
    """As :func:`create_private`, with a descriptor for :func:`require_same`.

    The descriptor allows no reads and writes (O_PATH). While it is open, no other file gets the
    inode number.
    """
    descriptor = open_private(path, like)
    try:
        return os.open(pinned_name(descriptor), os.O_PATH | os.O_CLOEXEC)
    finally:
        os.close(descriptor)


def require_same(path: Path, descriptor: int) -> None:
    """Raise UncloneError unless *path* is still the file that *descriptor* was opened for."""
    try:
        same = os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        same = False
    if not same:
        raise UncloneError(
            f"{shown(path)} was replaced or removed by something else during the run",
            hint="See who else can write to that directory, or work in another one.",
        )


def open_emptied(path: Path) -> BinaryIO:
    """The existing file *path*, or the one of a pinned name, open for writing without its content.

    Raises OSError.
    """
    links = 0 if is_pinned(path) else os.O_NOFOLLOW
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | links), "wb", _BUFFER)


def open_private(path: Path, like: Path | None = None) -> int:
    """As :func:`create_private`; returns the descriptor for writing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if like is not None and os.geteuid() == 0:
            pattern = like.stat()
            os.fchown(descriptor, pattern.st_uid, pattern.st_gid)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def temporary_directory() -> Path:
    """The directory for temporary files. Raises UncloneError when none can be written."""
    import tempfile  # noqa: PLC0415 (rarely needed)

    try:
        with deferred():  # the first call writes a file there, and removes it
            return Path(tempfile.gettempdir())
    except OSError as error:
        raise UncloneError(
            "no temporary directory can be written",
            hint="Free some space in /tmp, or name another directory in TMPDIR.",
        ) from error


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """A private folder for temporary files, removed afterwards. Raises UncloneError."""
    import tempfile  # noqa: PLC0415 (rarely needed)

    temporary = temporary_directory()
    with explained("make a temporary folder", temporary):
        folder = tempfile.TemporaryDirectory(prefix=prefix, dir=temporary)
    with folder as name:
        yield Path(name)


@contextmanager
def explained(doing: str, directory: Path) -> Iterator[None]:
    """Turn an OSError of the block into an UncloneError: "cannot *doing* in *directory*"."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise UncloneError(
                f"cannot {doing}: no space left in {shown(directory)}",
                hint="Free some space there and try again.",
            ) from error
        raise UncloneError(
            f"cannot {doing} in {shown(directory)}: {error.strerror}",
            hint="Check the directory's permissions, or use --output FILE in another one.",
        ) from error


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
