"""A disk that an NBD server shows on a UNIX socket, read only.

Reference: the NBD project's ``doc/proto.md`` ("Fixed newstyle negotiation", NBD_OPT_EXPORT_NAME,
"Simple reply message"). All numbers are big endian.
"""

from __future__ import annotations

import errno
import os
import struct

_SERVER, _OPTION = b"NBDMAGIC", b"IHAVEOPT"
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_EXPORT_NAME = 1
_GREETING = struct.Struct(">8s8sH")
_CHOICE = struct.Struct(">I8sII")  # client flags, magic, option, length of its data (none)
_EXPORT = struct.Struct(">QH")
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_READ = 0
#: Bytes; what every server accepts in one request.
_MOST = 32 * 1024 * 1024
#: Seconds for one answer.
_LIMIT = 60.0


class Connection:
    """The disk that the server at the socket *path* shows. Raises OSError."""

    def __init__(self, path: str) -> None:
        import socket  # noqa: PLC0415 (few images need it)

        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(_LIMIT)
        folder = os.open(os.path.dirname(path), os.O_PATH | os.O_CLOEXEC)  # noqa: PTH120 (no Path)
        try:
            # A socket's path is at most 107 bytes long.
            self._socket.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")  # noqa: PTH119
            self.size = self._negotiate()
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(folder)

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*. Raises OSError."""
        parts = []
        for start in range(offset, offset + count, _MOST):
            size = min(_MOST, offset + count - start)
            self._socket.sendall(_REQUEST.pack(_REQUEST_MAGIC, 0, _READ, start, start, size))
            magic, error, cookie = _REPLY.unpack(self._receive(_REPLY.size))
            if magic != _REPLY_MAGIC or cookie != start:
                raise _broken()
            if error:
                raise OSError(errno.EIO, "QEMU cannot read the image")
            parts.append(self._receive(size))
        return b"".join(parts)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _negotiate(self) -> int:
        server, option, flags = _GREETING.unpack(self._receive(_GREETING.size))
        if (server, option) != (_SERVER, _OPTION) or not flags & _FIXED_NEWSTYLE:
            raise _broken()
        flags &= _FIXED_NEWSTYLE | _NO_ZEROES
        self._socket.sendall(_CHOICE.pack(flags, _OPTION, _EXPORT_NAME, 0))
        size, _ = _EXPORT.unpack(self._receive(_EXPORT.size))
        if not flags & _NO_ZEROES:
            self._receive(124)
        return int(size)

    def _receive(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._socket.recv(min(count, 1 << 20))
            if not part:
                raise _broken()
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


def _broken() -> OSError:
    return OSError(errno.EIO, "the connection to qemu-nbd is broken")
