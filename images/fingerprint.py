"""Detecting whether a disk has changed, without reading its content.

A file with the same size and time of last change counts as unchanged, as for rsync(1) and make(1).
File names are ignored: an image may be moved.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.image import Image


#: Bytes at the beginning of a file: the header of an image, and its first tables.
_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileState:
    """Size in bytes, and time of the last change in nanoseconds since 1970."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class DiskState:
    """The format of a disk, its size for the guest in bytes, and the state of its files."""

    format: str
    virtual_size: int
    #: The image's own files, then those of its backing chain.
    files: tuple[FileState, ...]


def disk_state(image: Image) -> DiskState:
    """The current state of *image*. Raises OSError when one of its files is gone."""
    files = tuple(_file_state(path) for layer in image.chain for path in layer.files)
    return DiskState(str(image.format), image.virtual_size, files)


def _file_state(path: Path) -> FileState:
    found = path.stat()
    return FileState(found.st_size, found.st_mtime_ns)


def head_state(path: Path) -> dict[str, Any]:
    """The state of the file at *path*, for JSON: ``size``, ``mtime_ns``, ``head_sha256``.

    The last one is the SHA-256 of its first 64 KiB. Raises OSError.
    """
    with path.open("rb", buffering=0) as file:
        head = hashlib.sha256(file.read(_HEAD)).hexdigest()
    return {**asdict(_file_state(path)), "head_sha256": head}
