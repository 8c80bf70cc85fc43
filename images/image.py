"""A disk image: its file, format, the files it depends on, and its description for QEMU.

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


#: Bytes: PATH_MAX less the longest file name.
_MAX_FOLDER = 4095 - 256


@dataclass(frozen=True, slots=True)
class Image:
    """One image file with a valid header, and everything it depends on.

    Paths are real paths. Sizes are bytes; ``cluster_size`` is 0 where the format has none.
    ``variant`` is as in :class:`unclone.images.formats.header.Header`.
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
    #: Device and inode number of each of :attr:`files` when it was read.
    inodes: tuple[tuple[int, int], ...] = ()
    #: A pinned name of each of :attr:`files`; empty before they are locked.
    pins: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that change when this image does."""
        return (self.path, *self.data_files)

    @property
    def names(self) -> tuple[Path, ...]:
        """The pinned names of :attr:`files` where there are any, else the files."""
        return self.pins or self.files

    @property
    def chain(self) -> Iterator[Image]:
        """The image, its backing image, the backing image of that, and so on."""
        image: Image | None = self
        while image is not None:
            yield image
            image = image.backing

    @property
    def backing_files(self) -> tuple[Path, ...]:
        """The files of the backing chain: read, never changed."""
        return tuple(path for image in self.chain if image is not self for path in image.files)


def blockdev(image: Image, *, locked: bool) -> dict[str, Any]:
    """The BlockdevOptions of *image* and its whole chain; QEMU follows no name in a header.

    With *locked*, QEMU does not lock the image's own files, because this process holds the locks;
    it takes shared locks on the backing chain, as this process does.
    """
    node = layer(image, locked=locked)
    if image.backing is not None:
        node["backing"] = blockdev(image.backing, locked=False)
    return node


def layer(image: Image, *, locked: bool) -> dict[str, Any]:
    """As :func:`blockdev`, without the backing chain."""
    # QEMU looks for the extents of a VMDK in the directory of the descriptor.
    by_path = image.format is Format.VMDK and image.data_files
    node = _node(image, image.files if by_path else image.names, locked=locked)
    if image.format is Format.VMDK and image.data_files and locked:
        node["extents"] = [{"locking": "off"} for _ in image.data_files]
    return node


def short_blockdev(image: Image, *, locked: bool) -> dict[str, Any]:
    """As :func:`blockdev`, but short: for a qcow2, its header names the backing file.

    It goes into an overlay's header, which has 1023 bytes for it and outlives every pinned name. A
    VMDK does not record its parent's format, so its parent is included. VMDK extents are locked by
    QEMU, which allows reading.
    """
    node = _node(image, image.files, locked=locked)
    if image.backing is not None:
        if image.format is Format.QCOW2:
            del node["backing"]
        else:
            node["backing"] = short_blockdev(image.backing, locked=False)
    return node


def file_node(path: Path, *, locked: bool) -> dict[str, str]:
    """The BlockdevOptions of a plain file; its name may have any characters."""
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
        node["backing"] = None  # none, even if the header names one when QEMU opens it
    if image.format is Format.QCOW2 and data:
        node["data-file"] = file_node(data[0], locked=locked)
    return node


def real_path(path: Path) -> Path:
    """The real path of the image file *path*.

    Raises UsageError when there is no such file or QEMU cannot open its name, RefusedError when the
    path is too long.
    """
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
        # Checked before the open, which can have an effect on a device.
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
    """Raise RefusedError for a read-only file, also for root, whom its mode does not stop.

    ``clone`` makes a golden image read-only so that nothing changes it any more.
    """
    writable = bool(path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    if writable and os.access(path, os.W_OK):
        return
    if writable:
        read_only_mount = os.statvfs(path).f_flag & os.ST_RDONLY
        why = (
            "is on a read-only file system"
            if read_only_mount
            else "may not be written by this user"
        )
        raise RefusedError(
            f"{shown(path)} {why}",
            hint="Use --output FILE to leave it as it is"
            + ("." if read_only_mount else ", or run as its owner or with sudo."),
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
