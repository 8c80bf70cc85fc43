"""QEMU's monitor: one command at a time on a connected socket; events are collected.

Reference: QEMU docs/interop/qmp-spec.rst.
"""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Bytes without a line's end after which the other side is no QMP monitor.
_LONGEST = 1024 * 1024


class Monitor:
    """The monitor behind *connection*."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""
        self._ready = False
        self.events: list[str] = []

    def receive(self) -> bool:
        """Read what is there; False when QEMU has closed the connection."""
        try:
            data = self._connection.recv(65536)
        except OSError:
            return False
        self._read += data
        if len(self._read) > _LONGEST:
            raise ToolError("QEMU's monitor says more than it can")
        while b"\n" in self._read and self._take() is None:
            pass
        return bool(data)

    def pass_descriptor(self, name: str, descriptor: int) -> None:
        """Give QEMU a copy of *descriptor*, which commands can then call *name*."""
        self.ask("getfd", {"fdname": name}, descriptors=(descriptor,))

    def ask(
        self,
        command: str,
        arguments: dict[str, Any],
        limit: float = 30,
        *,
        descriptors: Sequence[int] = (),
    ) -> Any:  # noqa: ANN401 (what JSON holds)
        """What QEMU answers to *command* within *limit* seconds. Raises ToolError."""
        if not self._ready:
            self._ready = True
            self.ask("qmp_capabilities", {})
        request = json.dumps({"execute": command, "arguments": arguments})
        until = time.monotonic() + limit
        self._connection.settimeout(limit)
        try:
            if descriptors:
                socket.send_fds(self._connection, [request.encode() + b"\n"], list(descriptors))
            else:
                self._connection.sendall(request.encode() + b"\n")
            while time.monotonic() < until:
                answer = self._take() if b"\n" in self._read else None
                if answer is None and b"\n" not in self._read:
                    data = self._connection.recv(65536)
                    if not data:
                        break
                    self._read += data
                if answer is not None:
                    if "error" in answer:
                        raise ToolError(f"QEMU does not {command}: {answer['error']}")
                    return answer.get("return")
        except OSError as error:
            raise ToolError(f"QEMU's monitor cannot be asked: {error}") from error
        raise ToolError(f"QEMU does not answer to {command}")

    def _take(self) -> dict[str, Any] | None:
        """The next answer that was read; an event, and the greeting, is no answer."""
        line, _, self._read = self._read.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError:
            raise ToolError("QEMU's monitor says something that is no JSON") from None
        if "event" in message:
            self.events.append(str(message["event"]))
            return None
        return message if "return" in message or "error" in message else None
