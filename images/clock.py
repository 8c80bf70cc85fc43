"""The time that is written into file systems: now, or one that was fixed for this run.

e2fsprogs, whose library and programs the direct engine uses, reads the same variables
(``lib/ext2fs/openfs.c``, ``e2fsck/unix.c``). With a fixed time, the same change of the same image
gives the same bytes.
"""

from __future__ import annotations

import os
import time

_VARIABLES = ("E2FSPROGS_FAKE_TIME", "E2FSCK_TIME")


def now_ns() -> int:
    """Nanoseconds since 1970."""
    given = os.environ.get(_VARIABLES[0], "")
    return int(given) * 10**9 if given.isascii() and given.isdigit() else time.time_ns()


class fixed:  # noqa: N801 (used as a function; contextlib takes long to load)
    """``with fixed(seconds):`` sets the time that is written into file systems.

    *seconds* are since 1970. It holds for this process and those that it starts.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in _VARIABLES}
        os.environ.update(dict.fromkeys(_VARIABLES, str(self._seconds)))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
