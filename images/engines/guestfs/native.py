"""libguestfs' C functions on paths, called with the bytes of a path.

The Python binding takes and returns ``str``, strictly as UTF-8, so it cannot pass every name of a
guest file. It also lacks ``guestfs_last_errno``. This module calls the same library on the same
handle with bytes, for the functions with guest paths and names.

References: guestfs(3), "ABI guarantee" (soname libguestfs.so.0) and the signature of each
function there; ``struct guestfs_statns`` and the others under "Structures".
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Any

from unclone.images.errors import EngineError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Bytes in one message to or from the appliance, whose limit is 4 MiB.
CHUNK = 3 * 1024 * 1024


def encode(path: str) -> bytes:
    """The bytes of a guest path or name. Raises ValueError for a null byte."""
    if "\0" in path:
        raise ValueError("a guest path cannot hold a null byte")
    return path.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    """The inverse of :func:`encode`."""
    return name.decode("utf-8", "surrogateescape")


def string_list(values: Sequence[bytes]) -> ctypes.Array[c_char_p]:
    """A null-terminated ``char **``."""
    return (c_char_p * (len(values) + 1))(*values, None)


class _Stat(ctypes.Structure):
    _fields_ = [
        (f"st_{name}", c_int64)
        for name in (
            *("dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks"),
            *("atime_sec", "atime_nsec", "mtime_sec", "mtime_nsec", "ctime_sec", "ctime_nsec"),
            *(f"spare{n}" for n in range(1, 7)),
        )
    ]


class _Dirent(ctypes.Structure):
    _fields_ = [("ino", c_int64), ("ftyp", c_char), ("name", c_char_p)]


class _DirentList(ctypes.Structure):
    _fields_ = [("len", c_uint32), ("val", POINTER(_Dirent))]


class _Xattr(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("size", c_uint32), ("value", POINTER(c_char))]


class _XattrList(ctypes.Structure):
    _fields_ = [("len", c_uint32), ("val", POINTER(_Xattr))]


#: ``GUESTFS_EVENT_APPLIANCE``, and ``guestfs_event_callback``: handle, opaque, event, event
#: handle, flags, text and its length, numbers and their count.
_EVENT_APPLIANCE = 0x0010
_EVENT_CALLBACK = ctypes.CFUNCTYPE(
    None,
    *(c_void_p, c_void_p, c_uint64, c_int, c_int),
    *(c_void_p, c_size_t, c_void_p, c_size_t),
)

#: By function: its result (memory that the caller frees, or a status), and its arguments.
_FUNCTIONS: Mapping[str, tuple[Any, list[Any]]] = {
    "chmod": (c_int, [c_int, c_char_p]),
    "debug": (c_void_p, [c_char_p, POINTER(c_char_p)]),
    "lchown": (c_int, [c_int, c_int, c_char_p]),
    "lgetxattrs": (POINTER(_XattrList), [c_char_p]),
    "ln_s": (c_int, [c_char_p, c_char_p]),
    "lstatns": (POINTER(_Stat), [c_char_p]),
    "mkdir_mode": (c_int, [c_char_p, c_int]),
    "mknod": (c_int, [c_int, c_int, c_int, c_char_p]),
    "mount_vfs": (c_int, [c_char_p, c_char_p, c_char_p, c_char_p]),
    "pread": (c_void_p, [c_char_p, c_int, c_int64, POINTER(c_size_t)]),
    "pwrite": (c_int, [c_char_p, c_char_p, c_size_t, c_int64]),
    "readdir": (POINTER(_DirentList), [c_char_p]),
    "readlink": (c_void_p, [c_char_p]),
    "readlinklist": (POINTER(c_void_p), [c_char_p, POINTER(c_char_p)]),
    "rename": (c_int, [c_char_p, c_char_p]),
    "rm": (c_int, [c_char_p]),
    "rm_rf": (c_int, [c_char_p]),
    "rmdir": (c_int, [c_char_p]),
    "umount_all": (c_int, []),
    "write": (c_int, [c_char_p, c_char_p, c_size_t]),
}


class Native:
    """The functions above on one handle. Errors become OSError, or EngineError without an errno.

    Not for two threads at once: libguestfs keeps the last error by thread and handle, so it is read
    in the thread of the call.
    """

    def __init__(self, capsule: object) -> None:
        """*capsule* is the object with the handle in the Python binding."""
        unpack = ctypes.pythonapi.PyCapsule_GetPointer
        unpack.restype, unpack.argtypes = c_void_p, [ctypes.py_object, c_char_p]
        self._handle = c_void_p(unpack(capsule, b"guestfs_h"))
        self._library = _load()

    def silence(self) -> None:
        """Keep libguestfs from printing errors, in this thread only."""
        self._library.guestfs_set_error_handler(self._handle, None, None)

    def listen(self, callback: Callable[[bytes], None]) -> None:
        """Have *callback* called with the output of the appliance and QEMU.

        The callback of the binding would crash the process on text that is not UTF-8, and the
        appliance prints names of guest files.
        """

        def heard(*event: int) -> None:
            *_, text, length, _numbers, _count = event
            callback(ctypes.string_at(text, length))

        self._listener = _EVENT_CALLBACK(heard)  # C keeps no reference to it
        self._library.guestfs_set_event_callback(
            self._handle, self._listener, _EVENT_APPLIANCE, 0, None
        )

    def status(self, name: str, *arguments: object, path: str = "") -> int:
        """Call a function that returns a status or a count. Raises OSError or EngineError."""
        returned = self._call(name, *arguments)
        if returned == -1:
            raise self.error(path)
        return int(returned)

    def text(self, name: str, *arguments: object, path: str = "") -> bytes:
        """Call a function that returns a string. Raises OSError or EngineError."""
        address = self._call(name, *arguments)
        if not address:
            raise self.error(path)
        try:
            return ctypes.string_at(address)
        finally:
            self._library.free(c_void_p(address))

    def read(self, path: str, count: int) -> bytes:
        """The first *count* bytes of a regular file, or all of it."""
        content = bytearray()
        while len(content) < count:
            size = min(count - len(content), CHUNK)
            part = self._pread(path, size, len(content))
            content += part
            if len(part) < size:  # a regular file gives less only at its end
                break
        return bytes(content)

    def lstat(self, path: str) -> Any:  # noqa: ANN401  (a ctypes structure has no typed fields)
        """The ``struct guestfs_statns`` of *path*."""
        found = self._call("lstatns", encode(path))
        if not found:
            raise self.error(path)
        try:
            return _Stat.from_buffer_copy(found.contents)
        finally:
            self._library.guestfs_free_statns(found)

    def readdir(self, path: str) -> list[tuple[bytes, bytes]]:
        """The name and type letter of every entry, ``.`` and ``..`` included."""
        found = self._call("readdir", encode(path))
        if not found:
            raise self.error(path)
        try:
            entries = found.contents
            return [(entries.val[n].name, entries.val[n].ftyp) for n in range(entries.len)]
        finally:
            self._library.guestfs_free_dirent_list(found)

    def readlink(self, path: str) -> bytes:
        """The text of the symlink at *path*."""
        folder, _, name = encode(path).rpartition(b"/")
        # Unlike readlink, it starts no process in the appliance: it is ten times faster.
        found = self._call("readlinklist", folder or b"/", string_list([name]))
        target = self._taken_strings(found) if found else []
        # An empty text means any failure; readlink reports which.
        return target[0] if target and target[0] else self.text("readlink", encode(path), path=path)

    def lgetxattrs(self, path: str) -> dict[bytes, bytes]:
        """The extended attributes of *path*."""
        found = self._call("lgetxattrs", encode(path))
        if not found:
            raise self.error(path)
        try:
            listed = [found.contents.val[n] for n in range(found.contents.len)]
            return {x.name: ctypes.string_at(x.value, x.size) if x.size else b"" for x in listed}
        finally:
            self._library.guestfs_free_xattr_list(found)

    def error(self, path: str = "") -> OSError | EngineError:
        """The exception for the last call, which failed."""
        number = self._library.guestfs_last_errno(self._handle)
        if number > 0 and path:
            return OSError(number, f"{os.strerror(number)} (in the guest)", path)
        message = self._library.guestfs_last_error(self._handle) or b"no reason given"
        return EngineError(f"libguestfs: {printable(message.decode('utf-8', 'replace'))}")

    def _taken_strings(self, found: Any) -> list[bytes]:  # noqa: ANN401  (char **)
        strings: list[bytes] = []
        while address := found[len(strings)]:
            strings.append(ctypes.string_at(address))
            self._library.free(c_void_p(address))
        self._library.free(ctypes.cast(found, c_void_p))
        return strings

    def _pread(self, path: str, count: int, offset: int) -> bytes:
        size = c_size_t()
        address = self._call("pread", encode(path), count, offset, ctypes.byref(size))
        if not address:
            raise self.error(path)
        try:
            return ctypes.string_at(address, size.value)
        finally:
            self._library.free(c_void_p(address))

    def _call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401  (see _FUNCTIONS)
        return getattr(self._library, f"guestfs_{name}")(self._handle, *arguments)


def _load() -> ctypes.CDLL:
    # The binding has loaded it already; this gives the same library.
    library = ctypes.CDLL("libguestfs.so.0")
    library.free.restype, library.free.argtypes = None, [c_void_p]
    library.guestfs_last_errno.restype = c_int
    library.guestfs_last_errno.argtypes = [c_void_p]
    library.guestfs_set_event_callback.restype = c_int
    library.guestfs_set_event_callback.argtypes = [
        *(c_void_p, _EVENT_CALLBACK, c_uint64, c_int, c_void_p)
    ]
    library.guestfs_set_error_handler.restype = None
    library.guestfs_set_error_handler.argtypes = [c_void_p, c_void_p, c_void_p]
    library.guestfs_last_error.restype = c_char_p
    library.guestfs_last_error.argtypes = [c_void_p]
    for name, (returned, arguments) in _FUNCTIONS.items():
        function = getattr(library, f"guestfs_{name}")
        function.restype, function.argtypes = returned, [c_void_p, *arguments]
    for name, kind in (("statns", _Stat), ("dirent_list", _DirentList), ("xattr_list", _XattrList)):
        release = getattr(library, f"guestfs_free_{name}")
        release.restype, release.argtypes = None, [POINTER(kind)]
    return library
