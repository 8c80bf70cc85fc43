"""Talking to a program that was started and goes on: requests in, answers out, in time."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from typing import IO

_PIECE = 1024 * 1024


class Program:
    """A running program with pipes to it. *what* it is appears in messages."""

    def __init__(self, process: subprocess.Popen[bytes], what: str) -> None:
        self._process = process
        self._what = what
        self._buffer = bytearray()
        # A larger pipe means fewer turns. A user who has many pipes may not have it: never mind.
        with suppress(OSError):
            fcntl.fcntl(_present(process.stdout), fcntl.F_SETPIPE_SZ, _PIECE)

    def send(self, message: bytes) -> None:
        """Write all of *message*."""
        stream = _present(self._process.stdin)
        try:
            stream.write(message)
            stream.flush()
        except OSError as error:
            raise self._gone() from error

    def receive(self, count: int, *, limit: float) -> bytes | bytearray:
        """The next *count* bytes, within *limit* seconds."""
        deadline = time.monotonic() + limit
        while len(self._buffer) < count:
            self._more(deadline, limit)
        return self._take(count)

    def receive_line(self, *, limit: float) -> bytes | bytearray:
        """The next line, within *limit* seconds."""
        deadline = time.monotonic() + limit
        while (end := self._buffer.find(b"\n")) < 0:
            self._more(deadline, limit)
        return self._take(end + 1)

    def end(self, *, limit: float) -> int:
        """Close its input, wait until it has ended by itself, and return its exit status."""
        _present(self._process.stdin).close()
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            raise EngineError(f"{self._what} did not end within {limit:.0f} s") from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once. Safe to call at any time."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                _present(stream).close()
            except BrokenPipeError:  # what was not yet sent to it is of no use any more
                continue

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def _more(self, deadline: float, limit: float) -> None:
        descriptor = _present(self._process.stdout).fileno()
        waiting = select.poll()  # select() knows no descriptor above 1023
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self.kill()
            raise EngineError(
                f"{self._what} gave no answer within {limit:.0f} s and was stopped",
                hint="The file system may be damaged. Try --engine guestfs.",
            )
        piece = os.read(descriptor, _PIECE)
        if not piece:
            raise self._gone()
        self._buffer += piece

    def _take(self, count: int) -> bytes | bytearray:
        if count == len(self._buffer):  # nearly always, and then nothing is copied
            taken, self._buffer = self._buffer, bytearray()
            return taken
        taken = self._buffer[:count]
        del self._buffer[:count]
        return taken

    def _gone(self) -> EngineError:
        status = self._process.wait()
        ending = f"by signal {-status}" if status < 0 else f"with status {status}"
        return EngineError(
            f"{self._what} ended {ending} in the middle of its work",
            hint="The file system may be damaged. Try --engine guestfs.",
        )


def _present(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101  (started with pipes)
    return stream
