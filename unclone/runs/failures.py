"""Failures: their message, hint, exit status and JSON."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ExitStatus, Outcome, UncloneError
from unclone.images.interrupts import interrupt_number
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

#: From what a second try may cure to what must not be overlooked. With several images in one
#: command, the exit status is the last of these that any of them had.
SEVERITY = (
    ExitStatus.DONE,
    ExitStatus.IN_USE,
    ExitStatus.USAGE,
    ExitStatus.REFUSED,
    ExitStatus.FAILED,
    ExitStatus.RESIDUE,
    ExitStatus.HUNG_UP,
    ExitStatus.TERMINATED,
)

#: The ``status`` of an image in JSON, by exit status.
STATUS_NAMES = {
    ExitStatus.FAILED: "failed",
    ExitStatus.USAGE: "usage",
    ExitStatus.IN_USE: "in-use",
    ExitStatus.REFUSED: "refused",
    ExitStatus.RESIDUE: "residue",
    ExitStatus.HUNG_UP: "failed",
    ExitStatus.TERMINATED: "failed",
}

REPORT_IT = (
    "This is a bug in unclone. Please report it with the output of the same command with --debug; "
    "look through it first, it may name files of yours."
)

INSTALL_IT = (
    f"Install it for {printable(sys.executable)}; pipx, uv and pip do so when they install unclone."
)


class InterruptedRun(KeyboardInterrupt):
    """Ctrl-C or signal *number*, and what had become of *image* by then.

    Without *outcome* the commit may have begun.
    """

    def __init__(
        self, image: str, outcome: Outcome | None = None, number: int = signal.SIGINT
    ) -> None:
        super().__init__(image, outcome, number)
        self.image = image
        self.outcome = outcome
        self.number = number


class InterruptedFleet(KeyboardInterrupt):
    """Ctrl-C or signal *number* while machines were made: each is complete, or absent."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


_INTERRUPTED = {
    Outcome.UNCHANGED: "; the image is as it was",
    Outcome.INCOMPLETE: " during the commit, which is not complete",
    Outcome.COMMITTED: " after the commit: the image is complete",
    None: " during the commit or just after it",
}

_STATUSES = {signal.SIGTERM: ExitStatus.TERMINATED, signal.SIGHUP: ExitStatus.HUNG_UP}


class Relayed(Exception):  # noqa: N818 (what it relays was an error)
    """A failure of another process: its message and hint."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint


def describe(error: BaseException) -> str:
    """One line about *error*."""
    if isinstance(error, UncloneError):
        return printable(error.message)
    if isinstance(error, Relayed):
        return error.message
    if isinstance(error, KeyboardInterrupt):
        number = interrupt_number(error)
        by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
        if isinstance(error, InterruptedFleet):
            return f"interrupted{by}; each machine is complete or was not made"
        outcome = error.outcome if isinstance(error, InterruptedRun) else Outcome.UNCHANGED
        return f"interrupted{by}{_INTERRUPTED[outcome]}"
    return _unmet_requirement(error) or printable(
        f"internal error: {type(error).__name__}: {error}", 500
    )


def hint_of(error: BaseException) -> str:
    """What to do about *error*; "" when there is nothing to say."""
    if isinstance(error, UncloneError):
        return printable(error.hint)
    if isinstance(error, Relayed):
        return error.hint
    if isinstance(error, InterruptedRun):
        if error.outcome in {Outcome.UNCHANGED, Outcome.COMMITTED}:
            return ""
        return f"`unclone recover {printable(error.image)}` finishes or discards what is left."
    if isinstance(error, InterruptedFleet):
        return "The same command makes those that are missing."
    if isinstance(error, KeyboardInterrupt):
        return ""
    return INSTALL_IT if _unmet_requirement(error) else REPORT_IT


def _unmet_requirement(error: BaseException) -> str:
    from unclone.runs.requirements import unmet_requirement  # noqa: PLC0415 (slow to load)

    return unmet_requirement(error)


def status_of(error: BaseException) -> ExitStatus:
    """The exit status for *error*."""
    if isinstance(error, KeyboardInterrupt):
        return _STATUSES.get(signal.Signals(interrupt_number(error)), ExitStatus.FAILED)
    return error.status if isinstance(error, UncloneError) else ExitStatus.FAILED


def to_json(image: str, error: BaseException) -> dict[str, Any]:
    """The entry of a failed image in ``results`` (docs/json.md)."""
    status = status_of(error)
    return {
        "image": image,
        "status": STATUS_NAMES[status],
        "error": {
            "message": describe(error),
            "hint": hint_of(error),
            "exit_status": int(status),
        },
    }


def worst(statuses: Iterable[ExitStatus]) -> ExitStatus:
    """The most severe of *statuses*."""
    return max(statuses, key=SEVERITY.index, default=ExitStatus.DONE)
