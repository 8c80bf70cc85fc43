"""yamux: several streams on one connection.

Reference: github.com/hashicorp/yamux, spec.md (version 0). A frame is 12 bytes, big endian:
version, type, flags, stream, length; data follows a data frame.
"""

from __future__ import annotations

import struct
from threading import Condition, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_HEADER = struct.Struct(">BBHII")
_DATA, _WINDOW_UPDATE, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8

#: What either side may send on a new stream before the other says that it has read, in bytes.
_WINDOW = 256 * 1024


class Stream:
    """One stream. Reading and writing wait; both raise :class:`EOFError` after the end."""

    def __init__(self, session: Session, number: int) -> None:
        self._session = session
        self._number = number
        self._changed = Condition()
        self._received = bytearray()
        self._may_send = _WINDOW
        self._taken = 0  # bytes that were read, and that the other side was not told of
        self._ended = False

    def read(self, size: int) -> bytes:
        """Exactly *size* bytes."""
        found = bytearray()
        while len(found) < size:
            with self._changed:
                self._changed.wait_for(lambda: self._received or self._ended)
                if not self._received:
                    raise EOFError("the stream has ended")
                piece = self._received[: size - len(found)]
                del self._received[: len(piece)]
            found += piece
            self._taken += len(piece)
            if self._taken >= _WINDOW // 2:
                self._session.send(_WINDOW_UPDATE, 0, self._number, self._taken)
                self._taken = 0
        return bytes(found)

    def write(self, content: bytes) -> None:
        """Send all of *content*."""
        while content:
            with self._changed:
                self._changed.wait_for(lambda: self._may_send or self._ended)
                if self._ended:
                    raise EOFError("the stream has ended")
                piece = content[: self._may_send]
                self._may_send -= len(piece)
            self._session.send(_DATA, 0, self._number, len(piece), piece)
            content = content[len(piece) :]

    def close(self) -> None:
        """Say that nothing more is sent."""
        self._session.send(_WINDOW_UPDATE, _FIN, self._number, 0)

    def take(self, flags: int, more: int, content: bytes) -> None:
        """What the other side sent: *content*, and that it may be sent *more* bytes."""
        with self._changed:
            self._received += content
            self._may_send += more
            self._ended |= bool(flags & (_FIN | _RST))
            self._changed.notify_all()


class Session:
    """The server's side of a connection. *accept* is given each stream that the client opens."""

    def __init__(self, connection: socket.socket, accept: Callable[[Stream], None]) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._accept = accept
        self._sending = Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 2

    def open(self) -> Stream:
        """A new stream to the client."""
        with self._sending:
            number, self._next = self._next, self._next + 2
        stream = self._streams[number] = Stream(self, number)
        self.send(_WINDOW_UPDATE, _SYN, number, 0)
        return stream

    def send(self, kind: int, flags: int, stream: int, length: int, content: bytes = b"") -> None:
        """Send one frame. Raises EOFError when the client is gone."""
        try:
            with self._sending:
                self._connection.sendall(_HEADER.pack(0, kind, flags, stream, length) + content)
        except OSError as error:
            raise EOFError("the connection has ended") from error

    def run(self) -> None:
        """Take what comes until the client is gone; then every stream has ended."""
        try:
            while self._take_frame():
                pass
        except (OSError, EOFError):
            pass
        for stream in self._streams.values():
            stream.take(_RST, 0, b"")

    def _take_frame(self) -> bool:
        head = self._file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return False
        version, kind, flags, number, length = _HEADER.unpack(head)
        if version != 0 or kind > _GO_AWAY:
            return False
        if kind == _PING:
            if flags & _SYN:
                self.send(_PING, _ACK, 0, length)
            return True
        if kind == _GO_AWAY:
            return not length  # anything else is an error
        content = self._file.read(length) if kind == _DATA else b""
        if flags & _SYN:
            stream = self._streams[number] = Stream(self, number)
            self.send(_WINDOW_UPDATE, _ACK, number, 0)
            self._accept(stream)
        if number in self._streams:
            more = length if kind == _WINDOW_UPDATE else 0
            self._streams[number].take(flags, more, content)
        return True
