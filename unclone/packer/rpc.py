"""Go's net/rpc in MessagePack, and Packer's broker that gives streams their numbers.

References: Go's net/rpc; codec/rpc.go of github.com/ugorji/go (GoRpc); rpc/mux_broker.go of
Packer's plugin SDK. Whoever opens a stream writes its number, 4 bytes little endian, and gets the
same back. A request is a header and its argument, an answer a header and its result.
"""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from unclone.images.errors import UncloneError
from unclone.packer.msgpack import pack, unpack
from unclone.packer.yamux import Session

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from unclone.packer.yamux import Stream

    Methods = Mapping[str, Callable[[Any], Any]]


class RemoteError(UncloneError):
    """The other side answered with an error."""


class Broker:
    """Serves methods on numbered streams, and calls those of the other side."""

    def __init__(self, connection: socket.socket) -> None:
        self._session = Session(connection, self._accept)
        self._served: dict[int, Methods] = {}

    def serve(self, number: int, methods: Methods) -> None:
        """Answer calls of *methods* on the stream *number*, once that is opened."""
        self._served[number] = methods

    def call(self, number: int) -> Client:
        """What the other side serves on the stream *number*. Raises EOFError."""
        stream = self._session.open()
        stream.write(number.to_bytes(4, "little"))
        stream.read(4)
        return Client(stream)

    def run(self) -> None:
        """Work until the other side is gone."""
        self._session.run()

    def _accept(self, stream: Stream) -> None:
        Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: Stream) -> None:
        with suppress(EOFError):
            number = stream.read(4)
            methods = self._served.pop(int.from_bytes(number, "little"), None)
            if methods is None:
                stream.close()
                return
            stream.write(number)
            sending = Lock()
            while True:
                request = unpack(stream.read)
                argument = unpack(stream.read)
                # A call can come while another is being answered: to cancel it.
                Thread(
                    target=_answer, args=(stream, sending, methods, request, argument), daemon=True
                ).start()


class Client:
    """Calls methods, one after the other."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._calling = Lock()
        self._calls = 0

    def __call__(self, method: str, argument: object = None) -> Any:  # noqa: ANN401 (its result)
        """The result of *method*. Raises RemoteError, and EOFError when the other side is gone."""
        with self._calling:
            self._calls += 1
            request = {"ServiceMethod": method, "Seq": self._calls}
            self._stream.write(pack(request) + pack(argument))
            answer = unpack(self._stream.read)
            result = unpack(self._stream.read)
        if answer["Error"]:
            raise RemoteError(answer["Error"])
        return result

    def close(self) -> None:
        """End the stream."""
        with suppress(EOFError):
            self._stream.close()


def _answer(
    stream: Stream, sending: Lock, methods: Methods, request: dict[str, Any], argument: object
) -> None:
    answer = {**request, "Error": ""}
    result = None
    name = request["ServiceMethod"]
    try:
        if name in methods:
            result = methods[name](argument)
        else:
            answer["Error"] = f"there is no method {name}"
    except UncloneError as error:
        answer["Error"] = "\n".join(filter(None, (error.message, error.hint)))
    except Exception as error:  # noqa: BLE001 (whatever fails has to reach Packer)
        traceback.print_exc(file=sys.stderr)
        answer["Error"] = f"internal error: {error!r}"
    with suppress(EOFError), sending:
        stream.write(pack(answer) + pack(result))
