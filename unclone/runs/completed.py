"""One run on one image, ended: with its result, or with its error, which stops no other run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from unclone.images.errors import ExitStatus
from unclone.images.interrupts import interrupt_number
from unclone.runs import failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from unclone.runs.listener import Listener


class Result(Protocol):
    """What a run returns."""

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""


R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class CompletedRun(Generic[R]):
    """A run on one image: its result, or its error."""

    image: str
    result: R | None = None
    error: BaseException | None = None

    @property
    def status(self) -> ExitStatus:
        """Its part of the exit status."""
        return failures.status_of(self.error) if self.error else ExitStatus.DONE

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C, SIGTERM or SIGHUP ended it."""
        return isinstance(self.error, KeyboardInterrupt)

    def to_json(self) -> dict[str, Any]:
        """Its entry in ``results``."""
        if self.result is not None:
            return self.result.to_json()
        return failures.to_json(self.image, self.error or KeyboardInterrupt())


class PhaseRecorder:
    """A listener that passes everything on, and records the last phase."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.last_phase = ""

    def phase(self, name: str) -> None:
        """As :meth:`unclone.runs.listener.Listener.phase`."""
        self.last_phase = name
        self._listener.phase(name)

    def say(self, message: str) -> None:
        """As :meth:`unclone.runs.listener.Listener.say`."""
        self._listener.say(message)

    def warn(self, message: str) -> None:
        """As :meth:`unclone.runs.listener.Listener.warn`."""
        self._listener.warn(message)


def complete(image: str, listener: Listener, work: Callable[[Listener], R]) -> CompletedRun[R]:
    """Run *work* on the image called *image*. Whatever it raises is in what is returned."""
    recorder = PhaseRecorder(listener)
    try:
        return CompletedRun(image, result=work(recorder))
    except (failures.InterruptedRun, failures.InterruptedFleet) as interrupted:
        error: BaseException = interrupted
    except KeyboardInterrupt as interrupt:
        error = interrupt
        if recorder.last_phase == "commit":
            # Not said by the run itself: it had returned, or was a recovery.
            error = failures.InterruptedRun(image, number=interrupt_number(interrupt))
    except Exception as failure:  # noqa: BLE001 (other images must still be worked on)
        error = failure
    return CompletedRun(image, error=error)
