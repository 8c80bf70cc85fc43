"""Volumes of the guest as disks of the virtual machine: an NBD server on connected sockets.

QEMU sees neither the image nor its overlay: it reads and writes what this process has opened, and
nothing else. One thread serves all volumes, one request after the other.

Reference: the NBD project's ``doc/proto.md`` ("Oldstyle negotiation", "Simple reply message").
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.blocks import OpenBlocks

_GREETING = struct.Struct(">8sQQI124x")
_MAGIC, _OLD_STYLE = b"NBDMAGIC", 0x00420281861253
_HAS_FLAGS, _CAN_FLUSH = 1, 4
_REQUEST = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
#: Bytes in one request; QEMU's own limit.
_MOST = 32 * 1024 * 1024


class Export:
    """One volume of *size* bytes. While ``blocks`` is None, nothing of it can be used."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.blocks: OpenBlocks | None = None
        #: Why something was not written, or not read; "" while everything was.
        self.failure = ""
        self.ours, self.theirs = socket.socketpair()
        self._lock = Lock()

    def detach(self) -> None:
        """Close the volume: nothing of it can be used any more. Safe to call twice."""
        with self._lock:
            if self.blocks is not None:
                self.blocks.close()
            self.blocks = None

    def carry_out(self, kind: int, offset: int, count: int, content: bytes) -> bytes:
        """The answer to one request. Raises EngineError."""
        with self._lock:
            return _carried_out(self, kind, offset, count, content)


class Exports:
    """Serves *volumes* until it is closed."""

    def __init__(self, volumes: Sequence[Export]) -> None:
        self._volumes = volumes
        self._wake, self._woken = socket.socketpair()
        self._thread = Thread(target=self._serve, name="appliance-disks", daemon=True)
        for volume in volumes:
            flags = _HAS_FLAGS | _CAN_FLUSH
            volume.ours.sendall(_GREETING.pack(_MAGIC, _OLD_STYLE, volume.size, flags))
        self._thread.start()

    def close(self) -> None:
        """Serve nothing any more. Safe to call twice."""
        with suppress(OSError):
            self._wake.shutdown(socket.SHUT_RDWR)
        for volume in self._volumes:  # a thread that waits for the rest of a request sees its end
            with suppress(OSError):
                volume.ours.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for volume in self._volumes:
            volume.detach()
        for each in (
            self._wake,
            self._woken,
            *(s for v in self._volumes for s in (v.ours, v.theirs)),
        ):
            each.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ, None)
            for volume in self._volumes:
                selector.register(volume.ours, selectors.EVENT_READ, volume)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    if not _answer(key.data):
                        selector.unregister(key.data.ours)


def _answer(volume: Export) -> bool:
    """Carry out one request; False when there will be no more."""
    try:
        magic, _, kind, cookie, offset, count = _REQUEST.unpack(_receive(volume, _REQUEST.size))
        if magic != _REQUEST_MAGIC or kind == _DISCONNECT or count > _MOST:
            return False
        content = _receive(volume, count) if kind == _WRITE else b""
        answer, error = b"", 0
        try:
            answer = volume.carry_out(kind, offset, count, content)
        except EngineError as failed:
            volume.failure = volume.failure or failed.message
            error = errno.EIO
        except Exception as failed:  # noqa: BLE001 (the thread must not end; the failure is kept)
            volume.failure = volume.failure or f"{type(failed).__name__}: {failed}"
            error = errno.EIO
        volume.ours.sendall(_REPLY.pack(_REPLY_MAGIC, error, cookie) + answer)
    except OSError:
        return False
    return True


def _carried_out(volume: Export, kind: int, offset: int, count: int, content: bytes) -> bytes:
    if kind == _FLUSH:
        return b""  # what is written is in the host's files; they are made durable at the end
    if volume.blocks is None:
        if kind == _READ:  # the machine looks at a disk that it finds
            return bytes(count)
        raise EngineError("the machine wrote to a volume that is not mounted")
    if offset + count > volume.size:
        raise EngineError("the machine went beyond the end of a volume")
    if kind == _READ:
        found = volume.blocks.read(offset, count)
        if len(found) != count:
            raise EngineError("a part of a volume could not be read")
        return found
    if kind == _WRITE:
        volume.blocks.write(offset, content)
        return b""
    raise EngineError(f"the machine made a request of another kind ({kind})")


def _receive(volume: Export, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = volume.ours.recv(min(count - len(data), 1 << 20))
        if not part:
            raise ConnectionError
        data += part
    return bytes(data)
