"""One ext inode in memory, as libext2fs hands it out: host byte order, on-disk layout.

References: Linux ``Documentation/filesystems/ext4/inodes.rst`` (layout, extra time bits).
"""

from __future__ import annotations

import ctypes
import stat
import struct

from unclone.images import clock
from unclone.images.engines.direct.ext.flags import EXTENTS

#: Inherited from the directory (Linux ``EXT4_FL_INHERITED`` and what applies to files).
_INHERITED = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x400 | 0x4000 | 0x8000 | 0x10000
_NOT_FOR_FILES = 0x10000 | 0x20000  # dirsync, topdir

_GOOD_OLD_SIZE = 128
#: Bytes of fields after the first 128 that this version knows, as the kernel makes new inodes.
_EXTRA_SIZE = 32
_HALF, _WORD = struct.Struct("=H").unpack_from, struct.Struct("=I").unpack_from
#: Mode, owner, size, group, links, the high halves of size, owner and group.
_STAT = struct.Struct("=HHI16xHH80xI8xHH")
_KEY = struct.Struct("=H24xH4xI")  # mode, links, flags
_NO_ENTRIES = struct.pack("<HHHHI", 0xF30A, 0, 4, 0, 0)  # an extent header, little-endian


class Inode:
    """Fields of one inode, read and written in place; ``raw`` is the buffer for libext2fs."""

    def __init__(self, number: int, raw: ctypes.Array[ctypes.c_char]) -> None:
        self.number = number
        self.raw = raw

    @classmethod
    def blank(cls, number: int, size: int, mode: int) -> Inode:
        """A new inode without content; *mode* includes the type."""
        inode = cls(number, ctypes.create_string_buffer(size))
        inode.mode = mode
        if size >= _GOOD_OLD_SIZE + _EXTRA_SIZE:
            inode._put("=H", 0x80, _EXTRA_SIZE)
        return inode

    @property
    def mode(self) -> int:
        """Type and permission bits."""
        return self._get("=H", 0x0)

    @mode.setter
    def mode(self, value: int) -> None:
        self._put("=H", 0x0, value)

    @property
    def key(self) -> tuple[int, int, int]:
        """Mode, links and flags, which are looked at in every inode."""
        mode, links, flags = _KEY.unpack_from(self.raw)
        return mode, links, flags

    @property
    def stat(self) -> tuple[int, int, int, int, int]:
        """Mode with the type, owner, group, size in bytes and number of links."""
        mode, uid, size, gid, links, size_high, uid_high, gid_high = _STAT.unpack_from(self.raw)
        return mode, uid | uid_high << 16, gid | gid_high << 16, size | size_high << 32, links

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def uid(self) -> int:
        return self._get("=H", 0x2) | self._get("=H", 0x78) << 16

    @property
    def gid(self) -> int:
        return self._get("=H", 0x18) | self._get("=H", 0x7A) << 16

    def set_owner(self, uid: int, gid: int) -> None:
        for value, low, high in ((uid, 0x2, 0x78), (gid, 0x18, 0x7A)):
            self._put("=H", low, value & 0xFFFF)
            self._put("=H", high, value >> 16)

    @property
    def size(self) -> int:
        return self._get("=I", 0x4) | self._get("=I", 0x6C) << 32

    def set_no_size(self) -> None:
        self._put("=I", 0x4, 0)
        self._put("=I", 0x6C, 0)

    @property
    def links(self) -> int:
        return self._get("=H", 0x1A)

    @links.setter
    def links(self, value: int) -> None:
        self._put("=H", 0x1A, value)

    @property
    def flags(self) -> int:
        return self._get("=I", 0x20)

    @flags.setter
    def flags(self, value: int) -> None:
        self._put("=I", 0x20, value)

    @property
    def has_attribute_block(self) -> bool:
        return bool(self._get("=I", 0x68) or self._get("=H", 0x76))

    @property
    def block_area(self) -> bytes:
        """The 60 bytes that map blocks, or hold a short symlink."""
        return self.raw.raw[0x28:0x64]

    def set_generation(self, value: int) -> None:
        self._put("=I", 0x64, value)

    def clear_block_area(self) -> None:
        """Make the content empty, and mapped by block numbers."""
        struct.pack_into("60x", self.raw, 0x28)

    def use_extents(self) -> None:
        """Make the content empty, and extent-mapped."""
        self.flags |= EXTENTS
        struct.pack_into("60s", self.raw, 0x28, _NO_ENTRIES)

    def inherit_flags(self, directory: Inode) -> None:
        """Take from *directory* the flags that the kernel gives a new inode in it."""
        inherited = directory.flags & _INHERITED
        self.flags |= inherited if self.is_directory else inherited & ~_NOT_FOR_FILES

    # -- times -----------------------------------------------------------------------------
    def touch(self, *, content: bool = False, access: bool = False, birth: bool = False) -> None:
        """Set the change time to now, and with it those asked for."""
        now = clock.now_ns()
        self._stamp(0xC, 0x84, now)
        if content:
            self._stamp(0x10, 0x88, now)
        if access:
            self._stamp(0x8, 0x8C, now)
        if birth and self._has(0x94, 4):
            self._stamp(0x90, 0x94, now)

    def set_deleted(self) -> None:
        """Mark it as deleted, as the kernel does with an inode that it frees."""
        self.links = 0
        self._put("=I", 0x14, clock.now_ns() // 10**9 & 0xFFFFFFFF)
        self.touch()

    def _stamp(self, low: int, extra: int, nanoseconds: int) -> None:
        seconds, rest = divmod(nanoseconds, 10**9)
        self._put("=I", low, seconds & 0xFFFFFFFF)
        if self._has(extra, 4):
            signed = (seconds & 0xFFFFFFFF) - ((seconds & 0x80000000) << 1)
            self._put("=I", extra, rest << 2 | ((seconds - signed) >> 32 & 3))

    def _has(self, offset: int, length: int) -> bool:
        if len(self.raw) < offset + length:
            return False
        return _GOOD_OLD_SIZE + self._get("=H", 0x80) >= offset + length

    def _get(self, form: str, offset: int) -> int:
        value: int = (_HALF if form == "=H" else _WORD)(self.raw, offset)[0]
        return value

    def _put(self, form: str, offset: int, value: int) -> None:
        struct.pack_into(form, self.raw, offset, value)
