"""The programs that work for an engine, and starting them before they are needed.

Some are processes of our own that work on what a guest wrote: an interpreter that loads little.
To start one takes as long as much of a run; meanwhile there is always something else to do.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images import process
from unclone.images.errors import UncloneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from subprocess import Popen

#: Without site-packages and the user's settings: a third of an interpreter's starting time.
_FLAGS = ("-I", "-S", "-X", "utf8")
_START = "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; main()"


def helper(module: str) -> Sequence[str]:
    """The command that runs ``main()`` of *module*."""
    packages = Path(__file__).parents[4]  # where `unclone` is
    return (sys.executable, *_FLAGS, "-c", _START.format(module), str(packages))


WORKER = helper("unclone.images.engines.direct.ext.worker")
CHECKER = helper("unclone.images.engines.direct.ext.checker")
STORAGE_DAEMON = (
    *("qemu-storage-daemon", "--chardev", "stdio,id=qmp"),
    *("--monitor", "chardev=qmp"),
)

_ahead: dict[Sequence[str], Popen[bytes]] = {}


def start(command: Sequence[str]) -> Popen[bytes]:
    """Start *command*, with pipes to it; or take it from those that were started ahead."""
    return _ahead.pop(command, None) or process.start(command)


@contextmanager
def start_ahead() -> Iterator[None]:
    """Start what opening a guest needs; at the end, end what was not used."""
    try:
        for command in (WORKER, STORAGE_DAEMON):
            if command not in _ahead:
                with suppress(UncloneError):  # the engine finds that out, too, and what it means
                    _ahead[command] = process.start(command)
        yield
    finally:
        while _ahead:
            end(_ahead.popitem()[1])


def end(program: Popen[bytes]) -> None:
    """Stop *program*, whatever it is doing. Safe to call twice."""
    program.kill()
    program.wait()
    for stream in (program.stdin, program.stdout):
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.close()
