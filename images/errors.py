"""Exceptions with a message, a hint and an exit status.

The message says what happened to which file; the hint says what to do about it. The command
line prints both and exits with the status.
"""

from __future__ import annotations

import errno
import os
from enum import IntEnum, StrEnum


class ExitStatus(IntEnum):
    """The documented exit statuses of the command (docs/exit-status.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    IN_USE = 3
    REFUSED = 4
    RESIDUE = 5
    HUNG_UP = 129  # 128 + SIGHUP, as in shells
    TERMINATED = 143  # 128 + SIGTERM


class Outcome(StrEnum):
    """What a run has done to the images by the time it ended."""

    UNCHANGED = "unchanged"
    #: The commit has begun and was not completed: ``recover`` finishes it.
    INCOMPLETE = "incomplete"
    COMMITTED = "committed"


class UncloneError(Exception):
    """A run failed; the image is unchanged."""

    status = ExitStatus.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(UncloneError):
    """The request is invalid: a missing file, options that contradict each other."""

    status = ExitStatus.USAGE


class InUseError(UncloneError):
    """Another process holds a lock on the image."""

    status = ExitStatus.IN_USE


class RefusedError(UncloneError):
    """The image or guest is not one that can be changed safely."""

    status = ExitStatus.REFUSED


class ResidueError(UncloneError):
    """Verification found an old identifier that should be gone."""

    status = ExitStatus.RESIDUE


class ToolError(UncloneError):
    """An external program failed; the message quotes its output."""


class KilledError(UncloneError):
    """A program that a run needs was killed by something else. Made by :func:`killed`."""


class EngineError(UncloneError):
    """An engine failed; the message quotes it."""

    #: The engine that failed with this guest, where another one may do what it could not.
    engine = ""


class UncheckedError(EngineError):
    """An EngineError after the check of a file system was skipped, because it says it is clean.

    It may be damaged. Open the guest again with ``force_check``, which checks and repairs it.
    """


def is_full(text: str) -> bool:
    """Whether *text*, the output of a tool or an error, says that no space is left."""
    return any(os.strerror(number) in text for number in (errno.ENOSPC, errno.EDQUOT))


def is_kill(status: int) -> bool:
    """Whether exit *status* (negative for a signal) means that another process ended the program.

    A crash of the program itself gives another signal.
    """
    return status in {-9, -15}  # SIGKILL, SIGTERM


def killed(program: str) -> KilledError:
    """The error for *program*, whose exit status :func:`is_kill`."""
    return KilledError(
        f"{program} was killed by something else in the middle of its work",
        hint="The kernel does so when memory runs out (see `dmesg`). Try again with more memory.",
    )
