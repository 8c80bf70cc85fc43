"""F2FS: the UUID is in both superblocks, which may have a checksum.

With the feature ``inode_checksum`` every inode's checksum starts from the UUID, and with
``encrypt`` keys may be made from it: then it stays. No tool of f2fs-tools 1.15 sets it.

References: Linux ``include/linux/f2fs_fs.h`` (``struct f2fs_super_block``), ``fs/f2fs/super.c``
(``s_chksum_seed``, ``sanity_check_raw_super``), ``fs/f2fs/f2fs.h`` (features, ``f2fs_crc32``);
f2fs-tools 1.15 ``fsck/main.c``, fsck.f2fs(8).
"""

from __future__ import annotations

import struct
import uuid
import zlib
from typing import TYPE_CHECKING

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError
from unclone.images.file_systems.file_system_type import Checker, FileSystemType, Signature

if TYPE_CHECKING:
    from unclone.images.blocks import Blocks

_MAGIC = 0xF2F52010
#: Offsets of the two superblocks: 1 KiB into the first and the second block of 4 KiB.
_SUPERBLOCKS = (0x400, 0x1400)
_SIZE = 0xC00

# Offsets in the superblock.
_CHECKSUM_OFFSET, _UUID, _VOLUME_NAME, _FEATURE = 0x20, 0x6C, 0x7C, 0x884
_NAME_SIZE = 1024

_FEATURE_ENCRYPT, _FEATURE_INODE_CHKSUM, _FEATURE_SB_CHKSUM = 0x1, 0x20, 0x800
#: The features from encrypt to readonly.
_KNOWN = 0x7FFF


def read(blocks: Blocks) -> str:
    """The UUID; "" when there is none."""
    raw = _superblock(blocks, 0)
    found = raw[_UUID : _UUID + 16]
    return str(uuid.UUID(bytes=found)) if any(found) else ""


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    first, second = _superblock(blocks, 0), _superblock(blocks, 1)
    if not first:
        return "there is no F2FS on it"
    if first != second or not _is_sound(first):
        return "its two superblocks are not the same, or damaged (fsck.f2fs)"
    features = number(first, _FEATURE, "<I")
    if features & _FEATURE_ENCRYPT:
        return "encrypted files on it may depend on the UUID (feature encrypt)"
    if features & _FEATURE_INODE_CHKSUM:
        return "the checksums of its inodes start from the UUID (feature inode_checksum)"
    if features & ~_KNOWN:
        return f"it has features that are not known ({features & ~_KNOWN:#x})"
    return ""


def write(blocks: Blocks, value: str) -> None:
    """Set the UUID. Raises EngineError."""
    if why := unsettable(blocks):
        raise EngineError(why)
    raw = bytearray(_superblock(blocks, 0))
    raw[_UUID : _UUID + 16] = uuid.UUID(value).bytes
    if number(raw, _FEATURE, "<I") & _FEATURE_SB_CHKSUM:
        at = number(raw, _CHECKSUM_OFFSET, "<I")
        struct.pack_into("<I", raw, at, _checksum(raw[:at]))
    for offset in reversed(_SUPERBLOCKS):
        blocks.write(offset, bytes(raw))


def _label(blocks: Blocks) -> str:
    name = _superblock(blocks, 0)[_VOLUME_NAME : _VOLUME_NAME + _NAME_SIZE]
    return name.decode("utf-16-le", "replace").split("\0")[0]


def _superblock(blocks: Blocks, index: int) -> bytes:
    raw = read_exactly(blocks, _SUPERBLOCKS[index], _SIZE)
    return raw if raw and number(raw, 0, "<I") == _MAGIC else b""


def _is_sound(raw: bytes) -> bool:
    if not number(raw, _FEATURE, "<I") & _FEATURE_SB_CHKSUM:
        return True
    at = number(raw, _CHECKSUM_OFFSET, "<I")
    return _FEATURE < at <= _SIZE - 4 and number(raw, at, "<I") == _checksum(raw[:at])


def _checksum(raw: bytes | bytearray) -> int:
    """The CRC-32 with the magic as start value, not inverted."""
    return zlib.crc32(raw, _MAGIC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


TYPE = FileSystemType(
    ("f2fs",),
    (Signature(_SUPERBLOCKS[0], struct.pack("<I", _MAGIC)),),
    root_of="linux",
    label=_label,
    read=read,
    unsettable=unsettable,
    write=write,
    # Only a mount replays what was written by fsync after the last checkpoint.
    checker=Checker(("fsck.f2fs", "--dry-run"), mount_first=True),
)
