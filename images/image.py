"""What a disk image is: its file, its format, the files it depends on, and its name in QEMU.

References: QEMU ``qapi/block-core.json`` (BlockdevOptions, the ``json:`` pseudo-protocol).
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.images.errors import RefusedError, UsageError
from unclone.images.formats.header import Format
from unclone.images.pinned import is_pinned
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO


#: Bytes: PATH_MAX without the longest name of a file that a run makes.
_MAX_FOLDER = 4095 - 256


@dataclass(frozen=True, slots=True)
class Image:
    """One image file whose header was read and found sound, with everything it depends on.

    Paths are real paths. Sizes are bytes; ``cluster_size`` is 0 where the format has none.
    """

    path: Path
    format: Format
    virtual_size: int
    cluster_size: int = 0
    variant: str = ""
    backing: Image | None = None
    #: Further files that hold this image's own data: a qcow2 data file, VMDK extents.
    data_files: tuple[Path, ...] = ()
    #: Internal snapshots.
    snapshots: int = 0
    #: Why it cannot be changed in place; "" when it can.
    unwritable: str = ""
    #: Device and inode number of each of :attr:`files`, as they were read.
    inodes: tuple[tuple[int, int], ...] = ()
    #: A pinned name of each of :attr:`files`; none before they are locked.
    pins: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that change when this image does."""
        return (self.path, *self.data_files)

    @property
    def names(self) -> tuple[Path, ...]:
        """:attr:`files`, by names that lead to what was read, where that is ensured."""
        return self.pins or self.files

    @property
    def chain(self) -> Iterator[Image]:
        """The image itself, its backing image, and so on down."""
        image: Image | None = self
        while image is not None:
            yield image
            image = image.backing

    @property
    def backing_files(self) -> tuple[Path, ...]:
        """The files of the backing chain: read, never changed."""
        return tuple(path for image in self.chain if image is not self for path in image.files)


def blockdev(image: Image, *, locked: bool) -> dict[str, Any]:
    """QEMU's description of *image* and its whole chain; nothing is left for QEMU to look up.

    With *locked*, QEMU takes no lock on the image's own files, because this process holds them;
    the backing chain is only read, which agrees with the shared lock held on it.
    """
    node = layer(image, locked=locked)
    if image.backing is not None:
        node["backing"] = blockdev(image.backing, locked=False)
    return node


def layer(image: Image, *, locked: bool) -> dict[str, Any]:
    """As :func:`blockdev`, without the backing chain."""
    # QEMU looks for the extents of a VMDK in the folder of what it is given.
    by_path = image.format is Format.VMDK and image.data_files
    node = _node(image, image.files if by_path else image.names, locked=locked)
    if image.format is Format.VMDK and image.data_files and locked:
        node["extents"] = [{"locking": "off"} for _ in image.data_files]
    return node


def short_blockdev(image: Image, *, locked: bool) -> dict[str, Any]:
    """As :func:`blockdev`, but as short as is safe: a qcow2 header names its own backing file.

    An overlay's header has 1023 bytes for this, and outlives every pinned name. A VMDK does not
    record its parent's format, so that one is spelled out. VMDK extents are left to be locked by
    QEMU: fine for reading.
    """
    node = _node(image, image.files, locked=locked)
    if image.backing is not None:
        if image.format is Format.QCOW2:
            del node["backing"]
        else:
            node["backing"] = short_blockdev(image.backing, locked=False)
    return node


def file_node(path: Path, *, locked: bool) -> dict[str, str]:
    """QEMU's description of a plain file, whatever characters its name has."""
    node = {"driver": "file", "filename": str(path)}
    return {**node, "locking": "off"} if locked else node


def qemu_name(node: dict[str, Any]) -> str:
    """*node* as a file name on a QEMU command line or in a header."""
    return "json:" + json.dumps(node, ensure_ascii=False, separators=(",", ":"))


def _node(image: Image, files: Sequence[Path], *, locked: bool) -> dict[str, Any]:
    name, *data = files
    node: dict[str, Any] = {
        "driver": str(image.format),
        "file": file_node(name, locked=locked),
    }
    if image.format in {Format.QCOW2, Format.VMDK}:
        node["backing"] = None  # none, whatever the header says when QEMU opens it
    if image.format is Format.QCOW2 and data:
        node["data-file"] = file_node(data[0], locked=locked)
    return node


def real_path(path: Path) -> Path:
    """The real path of the image file that was named. Raises UsageError when there is none."""
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"the name {shown(path)} is not valid UTF-8, and QEMU cannot open it",
            hint="Rename the file.",
        ) from None
    try:
        real = path.resolve(strict=True)
    except FileNotFoundError:
        raise UsageError(
            f"{shown(path)} does not exist", hint="Check the path of the image."
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a symlink loop, before Python 3.13
        raise UsageError(
            f"{shown(path)} cannot be reached: {getattr(error, 'strerror', None) or error}"
        ) from error
    if real.is_dir():
        raise UsageError(f"{shown(path)} is a directory", hint="Name the image file inside it.")
    if len(os.fsencode(real.parent)) > _MAX_FOLDER:
        raise RefusedError(
            f"the path of {shown(real)} is too long for the files that are made beside it",
            hint="Move the image to a shorter path.",
        )
    return real


def open_image(path: Path) -> BinaryIO:
    """Open the regular, non-empty file at *path*, a real path or a pinned name, for reading.

    Raises RefusedError when it is something else, or may not be read.
    """
    pinned = is_pinned(path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if pinned else os.O_NOFOLLOW)
    try:
        # Opening a device can have an effect.
        _require_regular(path, path.stat() if pinned else path.lstat())
        descriptor = os.open(path, flags)
    except PermissionError:
        raise RefusedError(
            f"{shown(path)} may not be read by this user",
            hint="Run as its owner or with sudo.",
        ) from None
    except OSError as error:
        raise RefusedError(f"{shown(path)} cannot be opened: {error.strerror}") from error
    try:
        _require_regular(path, os.fstat(descriptor))
    except RefusedError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def require_writable(path: Path) -> None:
    """Refuse a file that is read-only, also for root, whom permission bits do not stop.

    ``clone`` makes a golden image read-only so that nothing changes it any more.
    """
    writable = bool(path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    if writable and os.access(path, os.W_OK):
        return
    if writable:
        alone = os.statvfs(path).f_flag & os.ST_RDONLY
        why = "is on a read-only file system" if alone else "may not be written by this user"
        raise RefusedError(
            f"{shown(path)} {why}",
            hint="Use --output FILE to leave it as it is"
            + ("." if alone else ", or run as its owner or with sudo."),
        )
    raise RefusedError(
        f"{shown(path)} is read-only",
        hint="Use --output FILE to leave it as it is, or make it writable (chmod u+w).",
    )


def _require_regular(path: Path, found: os.stat_result) -> None:
    if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
        raise RefusedError(
            f"{shown(path)} is a device, not an image file",
            hint="Copy it into a file first: qemu-img convert -f raw -O qcow2 DEVICE NEW.qcow2",
        )
    if not stat.S_ISREG(found.st_mode):
        raise RefusedError(f"{shown(path)} is not a regular file", hint="Name an image file.")
    if found.st_size == 0:
        raise RefusedError(
            f"{shown(path)} is empty: there is no disk in it", hint="Copy the image again."
        )
