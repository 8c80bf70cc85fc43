"""Open the guest that a request names."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from unclone.images.engines.engine import Drive
from unclone.images.errors import EngineError, UsageError
from unclone.images.opening import open_guest, select_engine
from unclone.images.text import printable
from unclone.images.transaction import ReadOnly
from unclone.runs.listener import NullListener, PhaseTimer
from unclone.sanitize.report import GuestSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from unclone.images.guest import Guest
    from unclone.images.transaction import Transaction
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request

Result = TypeVar("Result")

#: Bytes of a key file that are read; cryptsetup's own default limit is 8 MiB.
KEY_FILE_LIMIT = 8 * 1024 * 1024


def read_image(
    request: Request, look: Callable[[Guest], Result], listener: Listener | None = None
) -> Result:
    """What *look* finds in the guest in an image.

    Nothing is written to the image or beside it. Raises ``UncloneError``.
    """
    timer = PhaseTimer(listener or NullListener())
    timer.phase("lock")
    with ReadOnly(request.disks, allow=request.allow) as transaction:
        return read_guest(request, transaction, timer, look)


def read_guest(
    request: Request, transaction: Transaction, timer: PhaseTimer, look: Callable[[Guest], Result]
) -> Result:
    """What *look* finds in the guest on *transaction*, which is opened read-only.

    It is called once more, with another engine, where the one that was chosen fails. Raises as
    :func:`opened`.
    """
    try:
        with opened(request, transaction, timer, read_only=True) as guest:
            return look(guest)
    except EngineError as error:
        request = with_another_engine(request, error, timer)
    with opened(request, transaction, timer, read_only=True) as guest:
        return look(guest)


def with_another_engine(request: Request, error: EngineError, timer: PhaseTimer) -> Request:
    """*request*, for the engine that may do what failed with *error*; else raise that again."""
    if request.engine != "auto" or not error.engine:
        raise error
    how = "with libguestfs" if error.engine == "appliance" else "in a virtual machine"
    timer.listener.say(f"{error.message}; once more, {how}")
    return replace(request, engine="guestfs")


@contextmanager
def opened(
    request: Request,
    transaction: Transaction,
    timer: PhaseTimer,
    *,
    read_only: bool,
    force_check: bool = True,
    incomplete: bool = False,
) -> Iterator[Guest]:
    """The guest on the overlays of *transaction* or, where it has none, on its images.

    Raises ``EngineError`` when the guest cannot be opened or, inside the ``with`` block, read.
    """
    drives = [
        Drive(overlay, "qcow2", image, transaction.opened(overlay), transaction.in_place)
        for overlay, image in zip(transaction.overlays, transaction.images, strict=False)
    ] or [Drive(image.path, str(image.format), image) for image in transaction.images]
    timer.phase("launch")
    opening = open_guest(
        drives,
        engine=select_engine(request.engine),
        keys=lambda container: _keys(request, container),
        read_only=read_only,
        force_check=force_check,
        incomplete=incomplete,
        say=timer.listener.say,
    )
    with opening as guest:
        from unclone.sanitize import initrds  # noqa: PLC0415 (imported while the image is opened)

        initrds.begin_run()
        timer.phase("plan")
        try:
            yield guest
        except OSError as error:
            raise EngineError(
                f"the guest cannot be read: {printable(str(error))}",
                hint="Its file system may be damaged: repair it first (boot the guest, or run its "
                "fsck on the disk) and try again.",
            ) from error


def _keys(request: Request, container: str) -> Iterable[bytes]:
    for path in request.key_files:
        try:
            with path.open("rb") as file:
                yield file.read(KEY_FILE_LIMIT)
        except OSError as error:
            raise UsageError(
                f"the key file {printable(str(path))} cannot be read: {error.strerror}"
            ) from error
    if request.passphrase is not None:
        yield request.passphrase(container)


def summary(guest: Guest) -> GuestSummary:
    """What the guest is: its distribution, init system, host name and layout."""
    from unclone.sanitize.facts import Facts  # noqa: PLC0415 (imported while the image is opened)

    facts = Facts(guest)
    hostname = guest.text_or_empty("/etc/hostname", 256).strip()
    return GuestSummary(
        name=facts.name,
        distribution=printable(facts.os_release.get("ID", ""), 100),
        version=printable(facts.os_release.get("VERSION_ID", ""), 100),
        init=facts.init,
        hostname=printable(hostname, 100),
        layout=guest.layout,
    )
