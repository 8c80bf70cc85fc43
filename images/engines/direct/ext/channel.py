"""The I/O manager through which libext2fs reads and writes, in front of the library's own.

Its own (``unix_io``) works on the scratch file. In front of it, blocks that have not been written
to are read from the image itself (``disk``), blocks are marked as dirty before they are written,
and nothing is written outside the file system.

References: e2fsprogs 1.47 ``lib/ext2fs/ext2_io.h`` (``struct_io_manager``, ``struct_io_channel``),
``lib/ext2fs/unix_io.c`` (a negative count is of bytes, not of blocks).
"""

from __future__ import annotations

import ctypes
import errno
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_long, c_uint64, c_ulong, c_void_p
from functools import partial

from unclone.images.engines.direct.ext import libext2fs as lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unclone.images.engines.direct.access.disk import Disk

_Open = CFUNCTYPE(c_long, c_char_p, c_int, POINTER(c_void_p))
_Close = CFUNCTYPE(c_long, c_void_p)
_SetBlockSize = CFUNCTYPE(c_long, c_void_p, c_int)
_Blocks = CFUNCTYPE(c_long, c_void_p, c_ulong, c_int, c_void_p)
_SetOption = CFUNCTYPE(c_long, c_void_p, c_char_p, c_char_p)
_Stats = CFUNCTYPE(c_long, c_void_p, c_void_p)
_Blocks64 = CFUNCTYPE(c_long, c_void_p, c_uint64, c_int, c_void_p)
_Range = CFUNCTYPE(c_long, c_void_p, c_uint64, c_uint64)


class _Manager(ctypes.Structure):
    _fields_ = (
        ("magic", c_long),
        ("name", c_char_p),
        ("open", _Open),
        ("close", _Close),
        ("set_blksize", _SetBlockSize),
        ("read_blk", _Blocks),
        ("write_blk", _Blocks),
        ("flush", _Close),
        ("write_byte", _Blocks),
        ("set_option", _SetOption),
        ("get_stats", _Stats),
        ("read_blk64", _Blocks64),
        ("write_blk64", _Blocks64),
        ("discard", _Range),
        ("cache_readahead", _Range),
        ("zeroout", _Range),
        ("reserved", c_long * 14),
    )


class _Channel(ctypes.Structure):
    """The beginning of ``struct_io_channel``: the rest is not needed here."""

    _fields_ = (
        ("magic", c_long),
        ("manager", POINTER(_Manager)),
        ("name", c_char_p),
        ("block_size", c_int),
    )


class Manager:
    """An I/O manager for the file system of *size* bytes at byte *offset* of *disk*.

    It has to live as long as the file system is open.
    """

    def __init__(self, disk: Disk, offset: int, size: int) -> None:
        self._disk = disk
        self._offset = offset
        self._size = size
        own = ctypes.cast(lib.unix_io_manager, POINTER(_Manager))[0]
        self._own = own
        self._manager = _Manager()
        ctypes.pointer(self._manager)[0] = own
        self._manager.open = _Open(_safe(self._open))
        self._manager.read_blk = _Blocks(_safe(self._read))
        self._manager.read_blk64 = _Blocks64(_safe(self._read))
        self._manager.write_blk = _Blocks(_safe(partial(self._write, own.write_blk)))
        self._manager.write_blk64 = _Blocks64(_safe(partial(self._write, own.write_blk64)))
        self._manager.write_byte = _Blocks(_safe(self._write_bytes))
        # Blocks that are freed keep their content: it is the guest's TRIM that gives them back.
        self._manager.discard = _Range()
        self._manager.zeroout = _Range()

    @property
    def pointer(self) -> Any:  # noqa: ANN401 (ctypes has no type for it)
        """What ``ext2fs_open2`` takes."""
        return ctypes.byref(self._manager)

    def _open(self, name: bytes, flags: int, channel: Any) -> int:  # noqa: ANN401 (a pointer)
        code: int = self._own.open(name, flags, channel)
        if not code:
            opened = ctypes.cast(channel[0], POINTER(_Channel))[0]
            opened.manager = ctypes.pointer(self._manager)
        return code

    def _read(self, channel: int, block: int, count: int, buffer: int) -> int:
        start, size = _bytes(channel, block, count)
        if 0 <= start <= self._size - size:
            found = self._disk.unchanged(self._offset + start, size)
            if found is not None:
                ctypes.memmove(buffer, found, size)
                return 0
            self._disk.gather(self._offset + start, size)
        return int(self._own.read_blk64(channel, block, count, buffer))

    def _write(
        self, write: Callable[..., int], channel: int, block: int, count: int, buffer: int
    ) -> int:
        if not self._claim(*_bytes(channel, block, count)):
            return errno.EFAULT
        return int(write(channel, block, count, buffer))

    def _write_bytes(self, channel: int, start: int, count: int, buffer: int) -> int:
        if not self._claim(start, count):
            return errno.EFAULT
        return int(self._own.write_byte(channel, start, count, buffer))

    def _claim(self, start: int, count: int) -> bool:
        """Note a write; False when it is none of the file system's."""
        if start < 0 or count < 0 or start + count > self._size:
            return False
        self._disk.mark(self._offset + start, count)
        return True


def _bytes(channel: int, block: int, count: int) -> tuple[int, int]:
    """Offset and length of *count* blocks of *channel* from *block* on."""
    size = c_int.from_address(channel + _Channel.block_size.offset).value
    return block * size, -count if count < 0 else count * size


def _safe(function: Callable[..., int]) -> Callable[..., int]:
    """*function* with error numbers for exceptions: ctypes would print one, and return success."""

    def safe(*arguments: Any) -> int:  # noqa: ANN401 (whatever the library calls it with)
        try:
            return function(*arguments)
        except OSError as error:
            return error.errno or errno.EIO
        except BaseException:  # noqa: BLE001 (nothing can be raised through C)
            return errno.EIO

    return safe
