"""An image and all files it depends on, read by our own readers before QEMU opens any of them.

Headers name backing files, data files and extents, and headers are not trusted: a name is followed
only to a regular file inside the allowed directories, and for a backing file only when the header
also gives its format.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError
from unclone.images.formats.header import Format
from unclone.images.formats.table import detect, read_header
from unclone.images.image import Image, open_image, real_path
from unclone.images.text import printable, shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from unclone.images.formats.header import Header

#: Backing files below one image; a longer chain is refused.
MAX_DEPTH = 32

_PROTOCOL = re.compile(r"[^/]*:")  # QEMU's path_has_protocol()


def read_chain(
    path: Path,
    format: Format | None = None,  # noqa: A002 (the word everyone uses)
    *,
    allow: Sequence[Path] = (),
    repairable: bool = False,
) -> Image:
    """Read the headers of the image at *path* and of all files that it depends on.

    *format* is the one that the user gave; without it the magic decides (``detect``). *allow* are
    directories in which backing and data files may be, besides the real directory of the image.
    *repairable* accepts an image that QEMU must repair first, as an interrupted commit leaves it.

    Raises UsageError when there is no such file, and RefusedError when the image or a file that it
    depends on is damaged, not supported, missing or outside the allowed directories.
    """
    real = real_path(path)
    allowed = (real.parent, *(directory.resolve() for directory in allow))
    if format is None:
        with open_image(real) as file:
            format = detect(file, name=shown(real), suffix=real.suffix)  # noqa: A001
        if format is Format.RAW:
            _require_unpacked(real)
    return _Reader(allowed, repairable=repairable).read(real, format, depth=0)


def _require_unpacked(path: Path) -> None:
    from unclone.images.archives.compression import packed_as  # noqa: PLC0415 (loads compressors)

    if what := packed_as(path):
        raise RefusedError(
            f"{shown(path)} is {what}, and no disk image",
            hint="Unpack it first; only `unclone sanitize` takes it as it is.",
        )


class _Role(NamedTuple):
    """What a file is to the image *owner*, for messages."""

    word: str
    owner: Path
    hint: str


class _Reader:
    def __init__(self, allowed: Sequence[Path], *, repairable: bool) -> None:
        self._allowed = allowed
        self._repairable = repairable
        self._seen: set[Path] = set()

    def read(self, path: Path, format: Format, depth: int) -> Image:  # noqa: A002
        if path in self._seen:
            raise RefusedError(f"the backing files of {shown(path)} form a loop")
        if depth > MAX_DEPTH:
            raise RefusedError(
                f"{shown(path)} is under more than {MAX_DEPTH} other images",
                hint="Flatten the chain first: qemu-img convert -O qcow2 IMAGE NEW.qcow2",
            )
        self._seen.add(path)
        with open_image(path) as file:
            header = read_header(file, format, name=shown(path))
            inode = _inode(file)
        if header.unclean and not self._repairable:
            raise RefusedError(
                f"{shown(path)} cannot be used as it is: {header.unclean}",
                hint=f"Let QEMU repair it first: qemu-img check -r all -f {format} IMAGE",
            )
        data_files, inodes = self._data_files(path, header)
        return Image(
            path=path,
            format=format,
            virtual_size=header.virtual_size,
            cluster_size=header.cluster_size,
            variant=header.variant,
            backing=self._backing(path, header, depth),
            data_files=data_files,
            inodes=(inode, *inodes),
            snapshots=header.snapshots,
            unwritable=header.unwritable,
        )

    def _backing(self, path: Path, header: Header, depth: int) -> Image | None:
        if not header.backing:
            return None
        role = _Role(
            "backing file",
            path,
            "If that is right, name the file anew: qemu-img rebase -u -b FILE -F FORMAT IMAGE",
        )
        backing = self._locate(header.backing, role)
        if header.backing_format not in set(Format):
            said = printable(header.backing_format) or "nothing"
            raise RefusedError(
                f"{shown(path)} does not say which format its backing file {shown(backing)} has "
                f"(it says {said}), and guessing it is not safe",
                hint="Record it in the header: qemu-img rebase -u -b FILE -F FORMAT IMAGE",
            )
        return self.read(backing, Format(header.backing_format), depth + 1)

    def _data_files(
        self, path: Path, header: Header
    ) -> tuple[tuple[Path, ...], tuple[tuple[int, int], ...]]:
        found: list[Path] = []
        inodes = []
        role = _Role("data file", path, "Put all files of the image into one directory.")
        for extent in header.extents:
            real = self._locate(extent.name, role)
            if real in self._seen or real in found:
                raise RefusedError(f"{shown(path)} names {shown(real)} more than once")
            with open_image(real) as file:
                size = os.fstat(file.fileno()).st_size
                inodes.append(_inode(file))
                if size < extent.size:
                    raise RefusedError(
                        f"{shown(real)} is truncated: {shown(path)} expects {extent.size} bytes "
                        f"in it, but it has {size}",
                        hint="Copy the image again, or restore it from a backup.",
                    )
                if extent.format is Format.VMDK:
                    nested = read_header(file, Format.VMDK, name=shown(real))
                    if nested.extents:
                        raise RefusedError(f"{shown(real)} names extents but is one itself")
            found.append(real)
        return tuple(found), tuple(inodes)

    def _locate(self, name: str, role: _Role) -> Path:
        """The real path of the file *name*. Raises RefusedError when it may not be opened."""
        owner = shown(role.owner)
        if _PROTOCOL.match(name) or not name.isprintable():
            raise RefusedError(
                f"the {role.word} of {owner} is not a plain file name: {printable(name)}",
                hint=role.hint,
            )
        real = Path(os.path.realpath(role.owner.parent / name))
        try:
            real.stat()
            there = True
        except FileNotFoundError:
            there = False
        except OSError as error:  # a name too long, a symlink loop
            raise RefusedError(
                f"the {role.word} of {owner} cannot be reached: {printable(name)}", hint=role.hint
            ) from error
        if not any(real.is_relative_to(directory) for directory in self._allowed):
            raise RefusedError(
                f"the {role.word} of {owner} is outside its directory: {shown(real)}",
                hint=f"If you trust it, allow it: --allow-dir {shown(real.parent)}",
            )
        if not there:
            raise RefusedError(
                f"the {role.word} of {owner} is missing: {shown(real)}", hint=role.hint
            )
        return real


def _inode(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino
