"""The runs: what ``unclone inspect``, ``sanitize`` and ``recover`` do, callable from Python.

The command line only parses and prints; everything it can do is here, with the same words.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from threading import Event, Thread
from typing import TYPE_CHECKING

from unclone.images import recovery
from unclone.images.engines.engine import Drive
from unclone.images.errors import EngineError, UncheckedError, UncloneError, UsageError
from unclone.images.formats import Format
from unclone.images.opening import open_guest, select_engine
from unclone.images.output import ToOutput
from unclone.images.reading import ReadOnly
from unclone.images.text import printable
from unclone.images.transaction import Disk, InPlace
from unclone.runs.listener import NullListener
from unclone.sanitize.options import Options
from unclone.sanitize.report import GuestSummary, Inspection, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from unclone.images.guest import Guest
    from unclone.images.recovery import Recovery
    from unclone.images.transaction import Transaction
    from unclone.runs.listener import Listener

#: Bytes of a key file that are read; cryptsetup's own default limit is 8 MiB.
KEY_FILE_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What to work on, and how. Only ``image`` is needed.

    ``format`` is one of ``Format`` or "" to detect it. ``outputs`` are written
    instead of the images, one for each disk. ``allow`` are further folders in which backing and
    data files may be. ``key_files`` and ``passphrase`` (given a description of the container)
    open LUKS.
    """

    image: Path
    add_disks: tuple[Path, ...] = ()
    format: str = ""
    engine: str = "auto"
    outputs: tuple[Path, ...] = ()
    output_format: str = ""
    overwrite: bool = False
    allow: tuple[Path, ...] = ()
    allow_overlays: bool = False
    dry_run: bool = False
    key_files: tuple[Path, ...] = ()
    passphrase: Callable[[str], bytes] | None = None
    options: Options = field(default_factory=Options)

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The disks of the guest; the format given is that of the first."""
        first = Disk(self.image, Format(self.format) if self.format else None)
        return (first, *(Disk(path) for path in self.add_disks))


def inspect(request: Request, listener: Listener | None = None) -> Inspection:
    """Look at an image: what it is, which identity is in it, what a run would change.

    Nothing is written to the image or beside it. Raises ``UncloneError``.
    """
    clock = _Clock(listener or NullListener())
    clock.phase("lock")
    with (
        ReadOnly(request.disks, allow=request.allow) as looking,
        _opened(request, looking, clock, read_only=True) as guest,
    ):
        from unclone.sanitize.planning import make_plan  # noqa: PLC0415 (slow to load)

        plan = make_plan(guest, request.options)
        first = looking.images[0]
        return Inspection(
            image=str(request.image),
            format=str(first.format),
            virtual_size=first.virtual_size,
            engine=guest.engine,
            guest=_summary(guest),
            file_systems=tuple(guest.file_systems()),
            identifiers=tuple(guest.identifiers()),
            plan=plan,
            warnings=(*looking.warnings, *guest.layout.warnings),
            timings=clock.stop(),
        )


@contextmanager
def reading(request: Request, listener: Listener | None = None) -> Iterator[Guest]:
    """The guest in an image, for as long as the ``with`` block lasts, to be looked at only.

    Nothing is written to the image or beside it. Raises ``UncloneError``.
    """
    clock = _Clock(listener or NullListener())
    clock.phase("lock")
    with (
        ReadOnly(request.disks, allow=request.allow) as looking,
        _opened(request, looking, clock, read_only=True) as guest,
    ):
        yield guest


def sanitize(request: Request, listener: Listener | None = None) -> Report:
    """Take the old identity out of an image, prove it, and only then let the image change.

    Raises ``UncloneError``; the image is then as it was, unless the message
    says how ``recover`` finishes.
    """
    clock = _Clock(listener or NullListener())
    loading = _Loading(request.options)
    with select_engine(request.engine).start_ahead():
        try:
            return _sanitize(request, clock, loading, force_check=False)
        except UncheckedError as error:
            clock.listener.say(f"{error.message}; once more, after a check of the file systems")
    return _sanitize(request, clock, loading, force_check=True)


def _sanitize(request: Request, clock: _Clock, loading: _Loading, *, force_check: bool) -> Report:
    clock.phase("lock")
    with _transaction(request) as transaction:
        for recovered in transaction.recovered:
            clock.listener.say(str(recovered))
        for warning in transaction.warnings:
            clock.listener.warn(warning)
        with _opened(
            request, transaction, clock, read_only=request.dry_run, force_check=force_check
        ) as guest:
            for warning in guest.layout.warnings:
                clock.listener.warn(warning)
            loading.wait("unclone.sanitize.initrds")
            from unclone.sanitize import initrds  # noqa: PLC0415 (loaded while the image is opened)

            initrds.look_ahead(guest)
            loading.wait("unclone.sanitize.planning")
            from unclone.sanitize.planning import make_plan  # noqa: PLC0415 (loaded while the image is opened)

            plan = make_plan(guest, request.options)
            report = Report(
                image=str(request.image),
                result=str(request.outputs[0] if request.outputs else request.image),
                dry_run=request.dry_run,
                engine=guest.engine,
                guest=_summary(guest),
                plan=plan,
                warnings=(*transaction.warnings, *guest.layout.warnings),
            )
            if request.dry_run:
                return report.finished(clock.stop())
            clock.phase("apply")
            loading.wait("unclone.sanitize.verifying")
            from unclone.sanitize.applying import apply_plan  # noqa: PLC0415 (loaded while the image is opened)
            from unclone.sanitize.verifying import verify  # noqa: PLC0415 (loaded while the image is opened)

            outcomes = tuple(apply_plan(guest, plan))
            clock.phase("verify")
            verification = verify(guest, plan, outcomes, strict=request.options.strict)
            identifiers = tuple(guest.identifiers())
            clock.phase("commit")
        transaction.commit()
    return report.proven(outcomes, verification, identifiers).finished(clock.stop())


class _Loading:
    """Loads what is to be done while others open the image: it takes them as long.

    What is needed first comes first; the rest is loaded while the plan is made.
    """

    _MODULES = (
        "unclone.sanitize.initrds",
        "unclone.sanitize.planning",
        "unclone.sanitize.applying",
        "unclone.sanitize.verifying",
    )

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loaded = {name: Event() for name in self._MODULES}
        # Ctrl-C in the middle of an import can leave it waiting for ever: nobody waits for it.
        Thread(target=self._load, daemon=True).start()

    def wait(self, name: str) -> None:
        """Return when the module *name*, and what comes before it, is there."""
        self._loaded[name].wait()

    def _load(self) -> None:
        try:
            for name, loaded in self._loaded.items():
                module = import_module(name)
                if name == "unclone.sanitize.planning":
                    with suppress(UncloneError):  # said when the plan is made
                        module.all_steps(self._options)
                loaded.set()
        finally:  # whoever waits meets what went wrong by loading it again
            for loaded in self._loaded.values():
                loaded.set()


def recover(
    path: Path, listener: Listener | None = None, *, allow: tuple[Path, ...] = ()
) -> Recovery:
    """Finish or discard what an interrupted run left beside the image at *path*."""
    (listener or NullListener()).phase("commit")
    return recovery.recover(path, allow=allow)


class _Clock:
    """Passes the phases on, and measures them in seconds."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._seconds: dict[str, float] = {}
        self._current = ""
        self._since = 0.0

    def phase(self, name: str) -> None:
        self.stop()
        self._current, self._since = name, time.monotonic()
        self.listener.phase(name)

    def stop(self) -> dict[str, float]:
        if self._current:
            spent = time.monotonic() - self._since
            self._seconds[self._current] = round(spent, 3)
            self._current = ""
        return dict(self._seconds)


def _transaction(request: Request) -> Transaction:
    if request.dry_run:
        return ReadOnly(request.disks, allow=request.allow)
    if request.outputs:
        return ToOutput(
            request.disks,
            request.outputs,
            allow=request.allow,
            format=Format(request.output_format) if request.output_format else None,
            overwrite=request.overwrite,
        )
    return InPlace(request.disks, allow=request.allow, allow_overlays=request.allow_overlays)


@contextmanager
def _opened(
    request: Request,
    transaction: Transaction,
    clock: _Clock,
    *,
    read_only: bool,
    force_check: bool = True,
) -> Iterator[Guest]:
    """The guest on the overlays (or, to be read, on the images), ready to be planned for."""
    drives = [
        Drive(overlay, "qcow2", image)
        for overlay, image in zip(transaction.overlays, transaction.images, strict=False)
    ] or [Drive(image.path, str(image.format), image) for image in transaction.images]
    clock.phase("launch")
    opening = open_guest(
        drives,
        engine=select_engine(request.engine),
        keys=lambda container: _keys(request, container),
        read_only=read_only,
        force_check=force_check,
        say=clock.listener.say,
    )
    with opening as guest:
        clock.phase("plan")
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


def _summary(guest: Guest) -> GuestSummary:
    from unclone.sanitize.facts import Facts  # noqa: PLC0415 (loaded while the image is opened)

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
