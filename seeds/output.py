"""Where a seed goes: an image file, a folder. It appears complete under its name, or not at all.

A seed holds password hashes and whatever user-data holds, so what is written is for its owner alone
(0600, folders 0700). A seed is replaced only when that is asked for, and anything else never.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from unclone.seeds import iso
from unclone.seeds.errors import FAILED, SeedError
from unclone.seeds.iso_layout import SECTOR, VOLUME_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Every name that cloud-init reads from a NoCloud seed.
FILES = ("user-data", "meta-data", "network-config", "vendor-data")

#: 1980-01-01: the first day FAT can hold, and one every reader of ISO 9660 accepts.
DEFAULT_TIMESTAMP = 315_532_800


class Format(StrEnum):
    """What a seed is written as."""

    ISO = "iso"
    VFAT = "vfat"
    FOLDER = "folder"


def timestamp(environment: Mapping[str, str] = os.environ) -> int:
    """The date in every seed: ``SOURCE_DATE_EPOCH`` (seconds since 1970), else 1980-01-01 UTC.

    Reference: reproducible-builds.org, SOURCE_DATE_EPOCH specification 1.1.
    """
    given = environment.get("SOURCE_DATE_EPOCH", "").strip()
    if not given:
        return DEFAULT_TIMESTAMP
    if not given.isascii() or not given.isdigit() or int(given) > 2**36:
        raise SeedError(
            f"SOURCE_DATE_EPOCH is {given!r}, which is no time",
            hint="Set it to seconds since 1970, or unset it.",
        )
    return int(given)


def image(files: Mapping[str, bytes], kind: Format, when: int) -> bytes:
    """The image of *files* as *kind*, every date in it *when*."""
    if kind is Format.FOLDER:
        raise SeedError("a folder cannot be written to a stream", hint="Use --format iso or vfat.")
    if kind is Format.ISO:
        return iso.iso_image(files, when)
    from unclone.seeds import fat  # noqa: PLC0415 (most seeds are ISO images)

    return fat.vfat_image(files, when)


def read_image(content: bytes) -> dict[str, bytes]:
    """The files in a seed image of either kind; :class:`SeedError` when it is none."""
    if content[54:62] == b"FAT12   ":
        from unclone.seeds import fat  # noqa: PLC0415 (as above)

        return fat.read_vfat_image(content)
    return iso.read_iso_image(content)


@dataclass(frozen=True, slots=True)
class Written:
    """One seed that was written. ``size`` in bytes; ``sha256`` is empty for a folder."""

    path: Path
    format: Format
    size: int
    sha256: str


class Batch:
    """Seeds that appear together: all of them complete under their names, or none.

    Each is written beside its name and read back; leaving the ``with`` block makes them durable
    and gives them their names. With *overwrite* an existing seed is replaced in one step, and a
    program that has it open keeps the old one. Without *durable* the caller flushes them.
    """

    def __init__(self, *, overwrite: bool = False, durable: bool = True) -> None:
        self._overwrite = overwrite
        self._durable = durable
        self._waiting: dict[Path, Path] = {}

    def add(self, files: Mapping[str, bytes], path: Path, kind: Format, when: int) -> Written:
        """Write the seed of *files*, to be called *path*, with the date *when* (Unix time).

        Raises :class:`SeedError` when *path* may not be replaced, when writing fails, and when
        what is read back is not what was written.
        """
        if path in self._waiting:
            raise SeedError(f"two seeds would be called {path}", hint="Each needs its own name.")
        require_free(path, kind, overwrite=self._overwrite)
        temporary = _temporary_name(path)
        self._waiting[path] = temporary
        with _failing(path):
            if kind is Format.FOLDER:
                size, digest = _write_folder(files, temporary), ""
            else:
                content = image(files, kind, when)
                _write_private(temporary, content)
                if read_image(content) != dict(files):
                    raise SeedError(f"{path}: the image does not hold the files", status=FAILED)
                size, digest = len(content), hashlib.sha256(content).hexdigest()
        return Written(path, kind, size, digest)

    def discard(self) -> None:
        """Write nothing after all."""
        for temporary in self._waiting.values():
            _remove(temporary)
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        try:
            if not failure and self._waiting:
                self._appear()
        finally:
            self.discard()

    def _appear(self) -> None:
        # One flush for all of them: a thousand single ones would take a hundred times as long.
        if self._durable:
            os.sync() if len(self._waiting) > 1 else _sync_tree(*self._waiting.values())
        named: list[Path] = []
        try:
            for path, temporary in self._waiting.items():
                with _failing(path):
                    (_replace if self._overwrite else _name)(temporary, path)
                named.append(path)
        except BaseException:
            if not self._overwrite:  # nothing was replaced, so all of it can be undone
                for path in named:
                    _remove(path)
            raise
        for folder in {path.parent for path in self._waiting} if self._durable else ():
            _sync(folder)


def require_free(path: Path, kind: Format, *, overwrite: bool) -> None:
    """Raise :class:`SeedError` when a seed of this *kind* may not appear as *path*."""
    with _failing(path):
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        hint = "Choose another name, or remove it first."
        if kind is Format.FOLDER:
            if not stat.S_ISDIR(found.st_mode) or not {p.name for p in path.iterdir()} <= {*FILES}:
                raise SeedError(f"{path} exists and is not a seed folder", hint=hint)
        elif not stat.S_ISREG(found.st_mode) or not _is_seed(path):
            raise SeedError(f"{path} exists and is not a seed", hint=hint)
        if not overwrite:
            raise _exists(path)


def _temporary_name(path: Path) -> Path:
    """A name beside *path* that nothing has; the beginning of a long name is enough."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")


def _exists(path: Path) -> SeedError:
    return SeedError(
        f"{path} already exists",
        hint="Name another file, remove this one first, or give --overwrite.",
    )


def _replace(temporary: Path, path: Path) -> None:
    """Give *temporary* the name *path*, which another seed may have."""
    if not path.is_dir():
        temporary.replace(path)
        return
    old = _temporary_name(path)  # a folder takes two steps
    path.rename(old)
    temporary.rename(path)
    _remove(old)


def _name(temporary: Path, path: Path) -> None:
    """Give *temporary* the name *path*; :class:`SeedError` when something has it by now."""
    try:
        if not temporary.is_dir():
            path.hardlink_to(temporary)
            return
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise  # else a file system without hard links
    require_free(path, Format.FOLDER if temporary.is_dir() else Format.ISO, overwrite=False)
    temporary.rename(path)


def _is_seed(path: Path) -> bool:
    """Whether *path* is empty or bears a seed's label. Told from the headers: it may be huge."""
    with path.open("rb") as file:
        head = file.read(17 * SECTOR)
    volume = head[16 * SECTOR :]
    is_iso = volume[1:6] == b"CD001" and volume[VOLUME_ID].strip() == iso.LABEL.encode()
    is_fat = head[54:62] == b"FAT12   " and head[43:54].strip() == iso.LABEL.upper().encode()
    return not head or is_iso or is_fat


def _write_folder(files: Mapping[str, bytes], folder: Path) -> int:
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        _write_private(folder / name, content)
    return sum(map(len, files.values()))


def _write_private(path: Path, content: bytes) -> None:
    """Write a new file, not yet durable, and read it back."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    if path.read_bytes() != content:
        raise SeedError(f"{path}: what was read back is not what was written", status=FAILED)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        import shutil  # noqa: PLC0415 (every compressor of Python comes with it)

        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hints = {
            errno.ENOENT: f"The folder {path.parent} does not exist.",
            errno.ENOSPC: "Make room, or write it elsewhere.",
            errno.EACCES: f"You may not write in {path.parent}.",
        }
        raise SeedError(
            f"cannot write {path}: {error.strerror}",
            hint=hints.get(error.errno or 0, ""),
            status=FAILED,
        ) from error


def _sync_tree(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            _sync_tree(*path.iterdir())
        _sync(path)


def _sync(path: Path) -> None:
    """Make a file or a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
