"""The VirtualBox VDI header, version 1.1.

References: VirtualBox ``src/VBox/Storage/VDICore.h`` (VDIHEADER1PLUS); the subset that QEMU
accepts is in QEMU 7.2 ``block/vdi.c``. All numbers are little endian.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from unclone.images.formats.header import SECTOR, Format, Header

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.formats.header import Source

MAGIC = b"\x7f\x10\xda\xbe"
MAGIC_OFFSET = 64

# From byte 64: signature, version, header size, type, flags, comment, block map offset, data
# offset, geometry (4), unused, disk size, block size, block extra, blocks, blocks allocated, and
# the UUIDs: image, last snapshot, link, parent.
_HEADER = struct.Struct("<4sIIII256sIIIIIIIQIIII16s16s16s16s")
_DYNAMIC, _STATIC = 1, 2
_BLOCK = 1024 * 1024
_MAX_BLOCKS = 0x3FFF_FFFF
_NIL = bytes(16)
_ALLOCATED_OFFSET = 388
_ZEROS = 0xFFFF_FFFE  # block map entries from this value on mean no block


def read_header(source: Source) -> Header:
    """Read and check the header. Raises RefusedError when it is invalid or not supported."""
    fields = _HEADER.unpack(source.read(MAGIC_OFFSET, _HEADER.size, "header"))
    magic, version, _, kind, _, _, map_offset, data_offset = fields[:8]
    sector, _, size, block, _, blocks, allocated = fields[11:18]
    link, parent = fields[20:]
    if magic != MAGIC:
        raise source.unsound("it has no VDI signature")
    if version >> 16 != 1:
        raise source.unsound(f"its version is {version >> 16}.{version & 0xFFFF}")
    if kind not in {_DYNAMIC, _STATIC} or link != _NIL or parent != _NIL:
        raise source.unsupported("it is a VDI that depends on another one (a snapshot)")
    if sector != SECTOR or block != _BLOCK:
        raise source.unsupported(f"its sectors are {sector} and its blocks {block} bytes")
    if not 0 < size <= blocks * block or blocks > _MAX_BLOCKS or allocated > blocks:
        raise source.unsound(
            f"its virtual size of {size} bytes does not fit its {blocks} blocks "
            f"({allocated} of them allocated)"
        )
    if map_offset % SECTOR or data_offset % SECTOR:
        raise source.unsound(
            f"its block map is at byte {map_offset}, its data at byte {data_offset}"
        )
    source.require(map_offset, blocks * 4, "block map")
    if allocated:
        source.require(data_offset + (allocated - 1) * block, 1, "last data block")
    return Header(Format.VDI, virtual_size=size, cluster_size=block)


def repair(path: Path) -> None:
    """Make block count and block map consistent after a writer was killed.

    QEMU writes new blocks first, and then the count in the header and the map, in any order. When
    the count is too low, the next writer would use a block twice; when blocks are counted and not
    mapped, ``qemu-img check`` reports corruption. It can repair neither. Here the count is raised
    to what is mapped, and each block that is not mapped is zeroed and mapped to an unused part of
    the disk, so that the content stays the same. The image at *path* is locked, and was read by
    :func:`read_header`. Raises OSError.
    """
    with path.open("r+b") as file:
        file.seek(MAGIC_OFFSET)
        fields = _HEADER.unpack(file.read(_HEADER.size))
        map_offset, data_offset, blocks, allocated = fields[6], fields[7], fields[16], fields[17]
        file.seek(map_offset)
        block_map = struct.unpack(f"<{blocks}I", file.read(blocks * 4))
        mapped = {block for block in block_map if block < blocks}
        count = max(allocated, max(mapped, default=-1) + 1)
        unused = (number for number, block in enumerate(block_map) if block >= _ZEROS)
        adopted = list(zip(unused, sorted(set(range(count)) - mapped), strict=False))
        for _, block in adopted:
            file.seek(data_offset + block * _BLOCK)
            file.write(bytes(_BLOCK))
        file.flush()
        os.fsync(file.fileno())
        file.seek(_ALLOCATED_OFFSET)
        file.write(struct.pack("<I", count))
        for number, block in adopted:
            file.seek(map_offset + number * 4)
            file.write(struct.pack("<I", block))
