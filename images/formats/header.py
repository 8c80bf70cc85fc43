"""The facts in an image header, and the helpers of the header readers.

Every reader works on an open binary file before any QEMU tool sees it: a hostile header can make
``qemu-img info`` open other files of the host. Nothing here follows a name found in a header.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.errors import RefusedError

if TYPE_CHECKING:
    from typing import BinaryIO

SECTOR = 512


class Format(StrEnum):
    """The image formats that can be changed, by the names QEMU has for them."""

    QCOW2 = "qcow2"
    RAW = "raw"
    VMDK = "vmdk"
    VDI = "vdi"
    VHDX = "vhdx"


class Extent(NamedTuple):
    """A further file with data of an image, by its name in the header.

    ``format`` is RAW for plain data, VMDK for a sparse extent with a header of its own;
    ``size`` is the least number of bytes the file must have.
    """

    name: str
    format: Format = Format.RAW
    size: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The facts of one image header. Sizes are in bytes; names are as the header spells them."""

    format: Format
    virtual_size: int
    #: The unit of allocation; 0 where the format has none (raw, flat extents).
    cluster_size: int = 0
    #: "v2" or "v3" of qcow2, the createType of a VMDK, else "".
    variant: str = ""
    backing: str = ""
    backing_format: str = ""
    extents: tuple[Extent, ...] = ()
    snapshots: int = 0
    #: Why QEMU must repair the image first ("it is marked as corrupt"); "" when it is clean.
    unclean: str = ""
    #: Why the image cannot be changed in place; "" when it can.
    unwritable: str = ""


class Source:
    """An open image file, with its name and size for checks and messages."""

    def __init__(self, file: BinaryIO, name: str, format_name: str) -> None:
        self.name = name
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._format = format_name

    def read(self, offset: int, length: int, what: str) -> bytes:
        """Exactly *length* bytes at *offset*. Raises RefusedError when the file is shorter."""
        self.require(offset, length, what)
        self._file.seek(offset)
        return self._file.read(length)

    def require(self, offset: int, length: int, what: str) -> None:
        """Raise RefusedError unless the file has *length* bytes at *offset*."""
        if offset + length > self.size:
            raise RefusedError(
                f"{self.name} is truncated or damaged: its {what} is at byte {offset}, "
                f"but the file ends at byte {self.size}",
                hint="Copy the image again, or restore it from a backup.",
            )

    def unsound(self, claim: str) -> RefusedError:
        """The error for an invalid header."""
        return RefusedError(
            f"{self.name} is not a sound {self._format} image: {claim}",
            hint="Copy the image again, or restore it from a backup.",
        )

    def unsupported(self, what: str) -> RefusedError:
        """The error for a valid header with something that is not supported."""
        return RefusedError(
            f"{self.name} cannot be used: {what}",
            hint="Convert it first: qemu-img convert -O qcow2 IMAGE NEW.qcow2",
        )
