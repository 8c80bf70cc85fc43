"""The image formats: their magic numbers and header readers.

To add a format, copy one of the files beside this one and add a line to each table here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.errors import RefusedError
from unclone.images.formats import qcow2, raw, vdi, vhdx, vmdk
from unclone.images.formats.header import Format, Header, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

_READERS: Mapping[Format, Callable[[Source], Header]] = {
    Format.QCOW2: qcow2.read_header,
    Format.RAW: raw.read_header,
    Format.VMDK: vmdk.read_header,
    Format.VDI: vdi.read_header,
    Format.VHDX: vhdx.read_header,
}

#: (offset, bytes, format) of formats that are supported.
_MAGIC = (
    (0, qcow2.MAGIC, Format.QCOW2),
    (0, vmdk.MAGIC, Format.VMDK),
    (0, vmdk.MAGIC_ESX, Format.VMDK),
    (0, vmdk.DESCRIPTOR, Format.VMDK),
    (vdi.MAGIC_OFFSET, vdi.MAGIC, Format.VDI),
    (0, vhdx.MAGIC, Format.VHDX),
)

#: (offset, bytes, name) of formats that are not, so that they are not taken for raw disks.
_FOREIGN = (
    (0, b"conectix", "VHD"),
    (0, b"QED\0", "QED"),
    (0, b"WithoutFreeSpace", "Parallels"),
    (0, b"WithouFreSpacExt", "Parallels"),
    (0, b"Bochs Virtual HD Image", "Bochs"),
)

#: (offset, bytes) of a raw disk: an MBR signature, a GPT header.
_DISK_MAGIC = ((510, b"\x55\xaa"), (512, b"EFI PART"))
_HEAD = 1024


def detect(file: BinaryIO, *, name: str, suffix: str) -> Format:
    """The format of *file*, when the user gave none. *suffix* is that of its name (".raw").

    The magic decides, and without one the image is raw. A guest can write any magic to the start
    of its raw disk and so make the host read other files as its backing file (CVE-2010-3851);
    therefore a file that looks like both is refused. Raises RefusedError.
    """
    head = _head(file)
    for offset, magic, foreign in _FOREIGN:
        if head[offset:].startswith(magic):
            raise RefusedError(
                f"{name} is a {foreign} image, which is not supported",
                hint="Convert it first: qemu-img convert -O qcow2 IMAGE NEW.qcow2",
            )
    found = probe(head)
    disk = any(head[offset:].startswith(magic) for offset, magic in _DISK_MAGIC)
    if found is not Format.RAW and (disk or suffix.lower() == ".raw"):
        raise RefusedError(
            f"{name} begins with a {found} header but also looks like a raw disk; "
            "a guest can write such a header itself",
            hint=f"Say which it is: --format raw or --format {found}",
        )
    return found


def probe(head: bytes) -> Format:
    """The format whose magic is in *head* (the first 1024 bytes of a file); raw without one."""
    for offset, magic, found in _MAGIC:
        if head[offset:].startswith(magic):
            return found
    return Format.RAW


def read_header(file: BinaryIO, format: Format, *, name: str) -> Header:  # noqa: A002 (the word)
    """Read the header of *file* as *format*; *name* is for messages. Raises RefusedError."""
    if format is not Format.RAW and probe(_head(file)) is not format:
        raise RefusedError(
            f"{name} is not a {format} image: it lacks the {format} magic",
            hint="Leave out --format, or give the right one.",
        )
    return _READERS[format](Source(file, name, format))


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_HEAD)
