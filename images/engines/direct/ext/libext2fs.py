"""libext2fs, called in this process: the few functions and numbers this engine uses.

Only scalars, handles and raw inode bytes are passed. No structure of the library is
declared here: inodes are read by their on-disk layout (:mod:`.inode`), which cannot change.

The library trusts what it reads more than a host should: run this in the worker
(``ext/worker.py``), where a crash is an error message.

References: e2fsprogs 1.47 ``lib/ext2fs/ext2fs.h``, ``ext2_err.et.in`` (error numbers),
``ext2_fs.h``; libcom_err ``com_err.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import (
    CFUNCTYPE,
    POINTER,
    byref,
    c_char_p,
    c_int,
    c_int64,
    c_long,
    c_size_t,
    c_uint,
    c_uint32,
    c_uint64,
    c_void_p,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Number of the first libext2fs error; what is below is an errno.
_BASE = 2133571328
DIR_NO_SPACE = _BASE + 38
FILE_NOT_FOUND = _BASE + 76
NO_DIRECTORY = _BASE + 74
EA_KEY_NOT_FOUND = _BASE + 162
_ERRNO = {
    DIR_NO_SPACE: errno.ENOSPC,
    FILE_NOT_FOUND: errno.ENOENT,
    NO_DIRECTORY: errno.ENOTDIR,
    EA_KEY_NOT_FOUND: errno.ENODATA,
    _BASE + 21: errno.EROFS,
    _BASE + 36: errno.EIO,  # short read
    _BASE + 37: errno.EIO,  # short write
    _BASE + 70: errno.ENOMEM,
    _BASE + 72: errno.ENOSPC,  # no block
    _BASE + 73: errno.ENOSPC,  # no inode
    _BASE + 79: errno.EEXIST,
    _BASE + 80: errno.EOPNOTSUPP,
    _BASE + 82: errno.EFBIG,
    _BASE + 129: errno.EOPNOTSUPP,
    _BASE + 155: errno.EEXIST,
    _BASE + 158: errno.ERANGE,  # attribute name
    _BASE + 159: errno.ENOSPC,  # attribute value
    _BASE + 163: errno.ENOSPC,
    _BASE + 164: errno.EOPNOTSUPP,
    _BASE + 167: errno.ENOSPC,
}

# ext2fs_open() flags
OPEN_RW = 0x01
OPEN_MASTER_SB_ONLY = 0x200  # the kernel leaves the backup superblocks alone, too
OPEN_64BITS = 0x20000

# ext2fs_file_open() flags
FILE_WRITE = 0x0001

# ext2fs_dir_iterate2() callback: ``(dir, kind, entry, offset, block size, buffer, private)``
DIRENT_CHANGED = 1
DIRENT_ABORT = 2
DirCallback = CFUNCTYPE(c_int, c_uint32, c_int, c_void_p, c_int, c_int, c_void_p, c_void_p)
# ext2fs_block_iterate3() flag and callback: ``(fs, &block, count, ref block, ref offset, private)``
ITERATE_READ_ONLY = 0x08
BlockCallback = CFUNCTYPE(c_int, c_void_p, POINTER(c_uint64), c_int64, c_uint64, c_int, c_void_p)
XattrCallback = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t, c_void_p)


class Ext2Error(OSError):
    """A call failed; ``code`` is libext2fs' number, ``errno`` the kernel's number for it."""

    def __init__(self, code: int, call: str) -> None:
        number = _errno_of(code)
        damaged = number == errno.EUCLEAN
        text = f"{error_text(code)} ({call})" if damaged else os.strerror(number)
        super().__init__(number, text)
        self.code = code

    @property
    def of_the_host(self) -> bool:
        """Whether the file that holds the file system failed, not the file system."""
        return 0 < self.code < _BASE


def call(name: str, *arguments: object) -> None:
    """Call ``ext2fs_NAME`` and raise :class:`Ext2Error` unless it returns 0."""
    function = _functions.get(name)
    if function is None:
        function = _functions[name] = getattr(library, f"ext2fs_{name}")
    code = function(*arguments)
    if code:
        raise Ext2Error(code, f"ext2fs_{name}")


def error_text(code: int) -> str:
    """The library's text for *code*."""
    return str(_com_err.error_message(code).decode("utf-8", "replace"))


def _errno_of(code: int) -> int:
    if 0 < code < _BASE:
        return code
    return _ERRNO.get(code, errno.EUCLEAN)  # "structure needs cleaning", as the kernel says


def _load() -> tuple[Any, Any]:
    ext2fs = ctypes.CDLL("libext2fs.so.2")
    com_err = ctypes.CDLL("libcom_err.so.2")
    com_err.error_message.restype = c_char_p
    com_err.error_message.argtypes = [c_long]
    ext2fs.initialize_ext2_error_table()
    fs, ino = c_void_p, c_uint32
    signatures: dict[str, list[Any]] = {
        # name, options, flags, superblock, block size, manager, -> handle
        "open2": [c_char_p, c_char_p, c_int, c_int, c_uint, c_void_p, POINTER(c_void_p)],
        "close_free": [POINTER(c_void_p)],
        "check_desc": [fs],
        "read_bitmaps": [fs],
        "read_inode_full": [fs, ino, c_void_p, c_int],
        "write_inode_full": [fs, ino, c_void_p, c_int],
        "lookup": [fs, ino, c_char_p, c_int, c_void_p, POINTER(c_uint32)],
        "dir_iterate2": [fs, ino, c_int, c_void_p, DirCallback, c_void_p],
        "link": [fs, ino, c_char_p, ino, c_int],
        "unlink": [fs, ino, c_char_p, ino, c_int],
        "expand_dir": [fs, ino],
        "new_inode": [fs, ino, c_int, c_void_p, POINTER(c_uint32)],
        "mkdir": [fs, ino, ino, c_char_p],
        "symlink": [fs, ino, ino, c_char_p, c_char_p],
        "block_iterate3": [fs, ino, c_int, c_void_p, BlockCallback, c_void_p],
        "iblk_sub_blocks": [fs, c_void_p, c_uint64],
        "punch": [fs, ino, c_void_p, c_void_p, c_uint64, c_uint64],
        "free_ext_attr": [fs, ino, c_void_p],
        "file_open2": [fs, ino, c_void_p, c_int, POINTER(c_void_p)],
        "file_llseek": [c_void_p, c_uint64, c_int, POINTER(c_uint64)],
        "file_read": [c_void_p, c_void_p, c_uint, POINTER(c_uint)],
        "file_write": [c_void_p, c_void_p, c_uint, POINTER(c_uint)],
        "file_set_size2": [c_void_p, c_uint64],
        "file_close": [c_void_p],
        "inline_data_size": [fs, ino, POINTER(c_size_t)],
        "inline_data_get": [fs, ino, c_void_p, c_void_p, POINTER(c_size_t)],
        "xattrs_open": [fs, ino, POINTER(c_void_p)],
        "xattrs_read": [c_void_p],
        "xattrs_iterate": [c_void_p, XattrCallback, c_void_p],
        "xattr_get": [c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_size_t)],
        "xattr_set": [c_void_p, c_char_p, c_void_p, c_size_t],
        "xattr_remove": [c_void_p, c_char_p],
        "xattrs_close": [POINTER(c_void_p)],
        "free_mem": [c_void_p],
    }
    for name, arguments in signatures.items():
        function = getattr(ext2fs, f"ext2fs_{name}", None)
        if function is not None:  # some are inline in old versions
            function.argtypes = arguments
            function.restype = c_long
    ext2fs.ext2fs_free.argtypes = [fs]
    ext2fs.ext2fs_free.restype = None
    ext2fs.ext2fs_inode_alloc_stats2.argtypes = [fs, ino, c_int, c_int]
    ext2fs.ext2fs_inode_alloc_stats2.restype = None
    ext2fs.ext2fs_block_alloc_stats2.argtypes = [fs, c_uint64, c_int]
    ext2fs.ext2fs_block_alloc_stats2.restype = None
    ext2fs.ext2fs_inode_has_valid_blocks2.argtypes = [fs, c_void_p]
    ext2fs.ext2fs_is_fast_symlink.argtypes = [c_void_p]
    ext2fs.ext2fs_test_inode_bitmap.argtypes = [fs, ino]
    return ext2fs, com_err


library, _com_err = _load()
_functions: dict[str, Any] = {}
unix_io_manager = c_void_p.in_dll(library, "unix_io_manager")
__all__ = ["byref", "call", "library", "unix_io_manager"]
