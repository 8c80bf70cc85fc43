"""The helper programs of the direct engine: starting them ahead, requests, ending them.

Two are of our own and read what a guest wrote, in processes of their own. To start an interpreter
takes as long as a large part of a run, so at the beginning of a run, when this process has one
thread, they are forked from it and have loaded what it has. Later ones are interpreters that load
little.

The messages to and from the ext worker are framed by hand, here and in ``ext/worker.py``:
``multiprocessing.connection`` would add 12 ms of CPU to the 32 that the worker's imports take, and
has no time limit within a message, which a worker that a hostile file system has taken over can
begin and not end. For that reason, too, nothing it sends is unpickled: loading ``marshal`` data
runs no code. Malformed data may crash this process; the image is then untouched.
"""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING

from unclone.images import process
from unclone.images.errors import EngineError, UncloneError, is_kill, killed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Without site-packages and the user's settings: a third of an interpreter's starting time.
_FLAGS = ("-I", "-S", "-X", "utf8")
_START = "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; main()"

#: Seconds from the end of a process's connections until its status can be asked for.
_SEEN = 5.0

#: Bytes of a pipe, and of one read from it.
_PIECE = 1024 * 1024


def helper(module: str) -> Sequence[str]:
    """The command that runs ``main()`` of *module*."""
    packages = Path(__file__).parents[4]  # the directory that holds the package `unclone`
    return (sys.executable, *_FLAGS, "-c", _START.format(module), str(packages))


_MODULES = ("unclone.images.engines.direct.ext.worker", "unclone.images.engines.direct.ext.checker")
WORKER, CHECKER = map(helper, _MODULES)

_ahead: dict[Sequence[str], subprocess.Popen[bytes]] = {}


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start *command*, with pipes to it; or take the process that was started ahead."""
    return _ahead.pop(command, None) or process.start(command)


def load() -> None:
    """Import what the helpers need, before processes are forked that fork them."""
    with suppress(OSError):  # without libext2fs, which opening a guest reports
        for module in (*_MODULES, "unclone.images.engines.direct.ext.filesystem"):
            import_module(module)


@contextmanager
def start_ahead() -> Iterator[None]:
    """Start what opening a guest needs; at the end of the block, end what was not used."""
    try:
        alone = threading.active_count() == 1  # else a fork might copy what a thread had half done
        for command, module in zip((WORKER, CHECKER), _MODULES, strict=True):
            with suppress(UncloneError):  # opening the guest reports it
                if command not in _ahead and alone:
                    name = ".".join(module.split(".")[-2:])
                    _ahead[command] = process.fork(partial(_main, module), name)
                elif command not in _ahead and command is WORKER:
                    _ahead[command] = process.start(command)
        yield
    finally:
        while _ahead:
            end(_ahead.popitem()[1])


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill *child* and close its pipes. Safe to call at any time, and twice."""
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):  # what was not yet sent is not needed any more
                stream.close()


def _main(module: str) -> None:
    import_module(module).main()


class HelperProcess:
    """A running helper: requests are written to it, answers read within a time limit.

    *name* is what messages call it.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        """Start *command*, or take the process that was started ahead."""
        self._process = start(command)
        self._name = name
        self._buffer = bytearray()
        self._stopped = False
        #: Why it ended before it was told to, once that is known.
        self.failure: EngineError | None = None
        self._output = _present(self._process.stdout).fileno()
        self._waiting = select.poll()  # select() cannot watch a descriptor above 1023
        self._waiting.register(self._output, select.POLLIN)
        # A larger pipe means fewer reads. A user with many pipes may not have it, which is fine.
        with suppress(OSError):
            fcntl.fcntl(_present(self._process.stdout), fcntl.F_SETPIPE_SZ, _PIECE)

    def send(self, message: bytes) -> None:
        """Write all of *message*."""
        stream = _present(self._process.stdin)
        try:
            stream.write(message)
            stream.flush()
        except OSError as error:
            raise self._ended() from error

    def receive(self, count: int, *, limit: float) -> bytes | bytearray:
        """The next *count* bytes, within *limit* seconds."""
        deadline = time.monotonic() + limit
        while len(self._buffer) < count:
            self._read(deadline, limit)
        return self._take(count)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once. Safe to call at any time."""
        self._stopped = True
        end(self._process)

    def require_alive(self, *, ending: bool = False) -> None:
        """Raise KilledError when something else has killed it.

        With *ending* it is known to be gone, and perhaps not yet seen to have ended.
        """
        if self._stopped:
            return
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_SEEN if ending else 0)
            if is_kill(status) or not status:  # QEMU ends in good order on SIGTERM
                raise killed(self._name)

    def _read(self, deadline: float, limit: float) -> None:
        if not self._waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            self.kill()
            raise self._failed(f"gave no answer within {limit:.0f} s and was stopped")
        piece = os.read(self._output, _PIECE)
        if not piece:
            raise self._ended()
        self._buffer += piece

    def _take(self, count: int) -> bytes | bytearray:
        if count == len(self._buffer):  # nearly always, and then nothing is copied
            taken, self._buffer = self._buffer, bytearray()
            return taken
        taken = self._buffer[:count]
        del self._buffer[:count]
        return taken

    def _ended(self) -> EngineError:
        status = self._process.wait()
        self.require_alive()
        ending = f"by signal {-status}" if status < 0 else f"with status {status}"
        return self._failed(f"ended {ending} in the middle of its work")

    def _failed(self, how: str) -> EngineError:
        hint = "The file system may be damaged. Try --engine guestfs."
        self.failure = EngineError(f"{self._name} {how}", hint=hint)
        return self.failure


def _present(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101  (started with pipes)
    return stream
