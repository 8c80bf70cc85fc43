"""Extended attributes of an inode, through libext2fs.

References: e2fsprogs 1.47 ``lib/ext2fs/ext_attr.c``.
"""

from __future__ import annotations

import ctypes
import os

from unclone.images.engines.direct.ext import libext2fs as lib
from unclone.images.engines.direct.ext.libext2fs import byref, call, library


class Attributes:
    """The extended attributes of an inode, read; every change is written at once."""

    def __init__(self, fs: ctypes.c_void_p, number: int) -> None:
        self._handle = ctypes.c_void_p()
        call("xattrs_open", fs, number, byref(self._handle))

    def __enter__(self) -> ctypes.c_void_p:
        try:
            call("xattrs_read", self._handle)
        except BaseException:
            self.__exit__()
            raise
        return self._handle

    def __exit__(self, *_: object) -> None:
        library.ext2fs_xattrs_close(byref(self._handle))


def all_of(handle: ctypes.c_void_p) -> dict[str, bytes]:
    """Every attribute, as ``getfattr`` names and shows them."""
    names: list[bytes] = []

    def visit(name: int, _value: int, _length: int, _priv: int) -> int:
        names.append(ctypes.string_at(name))
        return 0

    call("xattrs_iterate", handle, lib.XattrCallback(visit), None)
    return {
        os.fsdecode(name): _attribute(handle, name)
        for name in names
        if name != b"system.data" and b"." in name
    }


def _attribute(handle: ctypes.c_void_p, name: bytes) -> bytes:
    value, length = ctypes.c_void_p(), ctypes.c_size_t()
    call("xattr_get", handle, name, byref(value), byref(length))
    try:
        return ctypes.string_at(value, length.value) if value else b""
    finally:
        library.ext2fs_free_mem(byref(value))
