"""All file system types, in the order in which a volume is tested for them.

Containers come first, and types with a weak test (ext, swap, vfat) last: a volume may still have
the signature of an earlier file system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.file_systems import btrfs, exfat, ext, f2fs, others, swap, vfat, xfs
from unclone.images.file_systems.file_system_type import FileSystemType
from unclone.images.identifiers import containers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.blocks import Blocks

TABLE: Sequence[FileSystemType] = (
    *containers.TYPES,
    exfat.TYPE,
    xfs.TYPE,
    btrfs.TYPE,
    f2fs.TYPE,
    *others.TYPES,
    ext.TYPE,
    swap.TYPE,
    vfat.TYPE,
)

#: The type of a volume without a known signature.
UNKNOWN = "unknown"

#: The types of what holds no files, so that nothing mounts it.
WITHOUT_FILES = frozenset(
    {UNKNOWN, *(name for one in (*containers.TYPES, swap.TYPE) for name in one.names)}
)

#: Bytes: enough for most signatures at the start of a volume; read at once.
_HEAD = 0x11000

_BY_NAME: Mapping[str, FileSystemType] = {name: one for one in TABLE for name in one.names}


def type_of(name: str) -> FileSystemType:
    """The type with the blkid name *name*; one without properties when it is not in the table."""
    return _BY_NAME.get(name) or FileSystemType((name,))


def recognise(blocks: Blocks) -> str:
    """The blkid name of the type on *blocks*; :data:`UNKNOWN` when there is no signature."""
    known = _Buffered(blocks)
    return next((name for one in TABLE if (name := one.recognise(known))), UNKNOWN)


def names_with_root_of(system: str) -> frozenset[str]:
    """The names of the types for a root of *system* ("linux", "windows")."""
    return frozenset(name for one in TABLE if one.root_of == system for name in one.names)


class _Buffered:
    """*blocks* with its first bytes in memory."""

    def __init__(self, blocks: Blocks) -> None:
        self.size = blocks.size
        self._blocks = blocks
        self._head = blocks.read(0, _HEAD)

    def read(self, offset: int, count: int) -> bytes:
        if offset + count <= len(self._head):
            return self._head[offset : offset + count]
        return self._blocks.read(offset, count)

    def write(self, offset: int, content: bytes) -> None:
        self._blocks.write(offset, content)
