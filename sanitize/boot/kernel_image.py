"""What a Linux kernel has built in: its command line is a text in the program, which may be packed.

References: Linux Documentation/arch/x86/boot.rst (``setup_sects``, ``HdrS``, ``payload_offset``,
``payload_length``), Kconfig (``CMDLINE``).
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from unclone.sanitize.boot.compression import Compression, Stream, detect
from unclone.sanitize.boot.cpio import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that tell a packed kernel for x86 from anything else.
HEADER_SIZE = 0x250
#: Bytes: an unpacked kernel with every driver built in has about a hundred million.
UNPACKED_LIMIT = 256 * 1024 * 1024

_MAGIC, _MAGIC_AT = b"HdrS", 0x202
_SETUP_SECTORS_AT, _PAYLOAD_AT = 0x1F1, 0x248
_SECTOR = 512
_PAYLOAD = struct.Struct("<II")
_COMMAND_LINE = re.compile(rb'(?m)^CONFIG_CMDLINE="(.+)"')


def is_packed(start: bytes) -> bool:
    """Whether a kernel for x86 begins so: what it has built in is compressed."""
    return start[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def unpacked(content: bytes) -> Iterator[bytes]:
    """What the packed kernel *content* unpacks to, in pieces.

    Raises ``DamagedError`` when it is damaged, or packed as nobody can read here.
    """
    if len(content) < HEADER_SIZE:
        raise DamagedError("it is cut off")
    offset, length = _PAYLOAD.unpack_from(content, _PAYLOAD_AT)
    start = ((content[_SETUP_SECTORS_AT] or 4) + 1) * _SECTOR + offset
    payload = content[start : start + length]
    kind = detect(payload)
    if kind is None or kind is Compression.NONE:
        raise DamagedError("what it is packed with is not known")
    return Stream(payload, 0, kind, limit=UNPACKED_LIMIT).pieces()


def configured(config: bytes) -> bytes:
    """The command line that a kernel with this configuration has built in; b"" for none."""
    return b"\n".join(_COMMAND_LINE.findall(config))
