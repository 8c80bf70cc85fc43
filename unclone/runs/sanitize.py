"""The run of ``unclone sanitize``: lock, overlay, open, plan, apply, verify, commit."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from threading import Event, Thread
from typing import TYPE_CHECKING

from unclone.images.archives.compression import recognise
from unclone.images.engines.direct import helpers
from unclone.images.errors import EngineError, UncheckedError, UncloneError, UsageError
from unclone.images.formats.header import Format
from unclone.images.interrupts import interrupt_number
from unclone.images.opening import select_engine
from unclone.images.output import ToOutput
from unclone.images.rehearsal import Rehearsal
from unclone.images.text import shown
from unclone.images.transaction import InPlace
from unclone.runs.failures import InterruptedRun
from unclone.runs.listener import NullListener, PhaseTimer
from unclone.runs.opening import opened, summary, with_another_engine
from unclone.sanitize.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.guest import Guest
    from unclone.images.image import Image
    from unclone.images.transaction import Transaction
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.sanitize.change import Plan
    from unclone.sanitize.options import Options
    from unclone.sanitize.saved_plan import SavedPlan


def sanitize(request: Request, listener: Listener | None = None) -> Report:
    """Take the old identity out of an image, prove it, and only then let the image change.

    Raises ``UncloneError``; the image is then as it was, unless the message
    says how ``recover`` finishes.
    """
    compression = None if request.format else recognise(request.image)
    if compression is not None:
        from unclone.runs.sanitize_compressed import sanitize_compressed  # noqa: PLC0415 (rarely needed)

        return sanitize_compressed(request, compression, listener or NullListener(), sanitize)
    saved = _saved_plan(request)
    if saved is not None:
        request = replace(request, options=saved.options_with(request.options.catalogues))
    timer = PhaseTimer(listener or NullListener())
    with select_engine(request.engine).start_ahead():
        loader = _Loader(request.options)  # a thread: what is forked above has none
        try:
            return _sanitize(request, saved, timer, loader, force_check=False)
        except UncheckedError as error:
            timer.listener.say(f"{error.message}; once more, after a check of the file systems")
        except EngineError as error:
            request = with_another_engine(request, error, timer)
    try:
        return _sanitize(request, saved, timer, loader, force_check=True)
    except EngineError as error:
        request = with_another_engine(request, error, timer)
    return _sanitize(request, saved, timer, loader, force_check=True)


def _sanitize(
    request: Request,
    saved: SavedPlan | None,
    timer: PhaseTimer,
    loader: _Loader,
    *,
    force_check: bool,
) -> Report:
    timer.phase("lock")
    with _transaction(request) as transaction:
        if saved is not None:
            saved.require_disks(transaction.images)
        for recovered in transaction.recovered:
            timer.listener.say(str(recovered))
        for warning in transaction.warnings:
            timer.listener.warn(warning)
        with opened(request, transaction, timer, read_only=False, force_check=force_check) as guest:
            for warning in guest.layout.warnings:
                timer.listener.warn(warning)
            loader.wait("unclone.sanitize.initrds")
            from unclone.sanitize import initrds  # noqa: PLC0415 (imported while the image is opened)

            initrds.look_ahead(guest)
            loader.wait("unclone.sanitize.planning")
            plan, shown_plan, saving = _plan(request, saved, transaction.images, guest)
            report = Report(
                image=str(request.image),
                result=str(request.outputs[0] if request.outputs else request.image),
                dry_run=request.dry_run,
                engine=guest.engine,
                guest=summary(guest),
                plan=shown_plan,
                warnings=(*transaction.warnings, *guest.layout.warnings),
            )
            from unclone.sanitize.inventory.taking import take_inventory  # noqa: PLC0415 (imported while the image is opened)

            if request.if_needed and report.only_renews:
                return report.leave_alone(take_inventory(guest, request.options)).finished(
                    timer.stop()
                )
            timer.phase("apply")
            loader.wait("unclone.sanitize.verifying")
            from unclone.sanitize.applying import apply_plan  # noqa: PLC0415 (imported while the image is opened)
            from unclone.sanitize.verifying import verify  # noqa: PLC0415 (imported while the image is opened)

            outcomes = tuple(apply_plan(guest, plan))
            timer.phase("verify")
            verification = verify(guest, plan, outcomes, strict=request.options.strict)
            found = take_inventory(guest, request.options, plan)
            if request.dry_run:  # a rehearsal: what was made is thrown away
                if saving is not None and request.save_plan is not None:
                    saving.write(request.save_plan, overwrite=request.overwrite)
                    timer.listener.say(f"the plan is in {shown(request.save_plan)}")
                found = found.without_new_values(shown_plan.changes)
                return report.proven((), verification, (), found).finished(timer.stop())
            identifiers = tuple(guest.identifiers())
            timer.phase("commit")
        transaction.commit()
    return report.proven(outcomes, verification, identifiers, found).finished(timer.stop())


def _saved_plan(request: Request) -> SavedPlan | None:
    """The plan that *request* names. Raises ``UsageError`` before anything is opened."""
    if request.plan is None and request.save_plan is None:
        return None
    from unclone.sanitize import saved_plan  # noqa: PLC0415 (slow to load)

    if request.save_plan is not None:
        if not request.dry_run:
            raise UsageError("a plan is saved by a dry run only", hint="Add --dry-run.")
        saved_plan.require_free(request.save_plan, overwrite=request.overwrite)
    return saved_plan.read(request.plan) if request.plan is not None else None


def _plan(
    request: Request,
    saved: SavedPlan | None,
    images: Sequence[Image],
    guest: Guest,
) -> tuple[Plan, Plan, SavedPlan | None]:
    """The plan for this run; as a person is shown it; and as it is saved, if it is.

    It is that of *saved*, or one with new values of its own. What is shown has no values that
    another run draws anew.
    """
    from unclone.sanitize.new_values import NewValues, mask_random  # noqa: PLC0415 (imported while the image is opened)
    from unclone.sanitize.planning import make_plan  # noqa: PLC0415 (imported while the image is opened)

    if saved is not None:
        saved.require_identifiers(guest)
        plan = make_plan(guest, request.options, saved.new_values)
        saved.require_plan(plan)
        return plan, plan, None
    new_values = request.new_values or NewValues()
    plan = make_plan(guest, request.options, new_values)
    if request.save_plan is not None:
        from unclone.sanitize.saved_plan import SavedPlan  # noqa: PLC0415 (only needed here)

        # Now: afterwards the devices have other identifiers.
        return plan, plan, SavedPlan.of(images, guest, request.options, new_values, plan)
    masked = mask_random(plan, request.options, new_values) if request.dry_run else plan
    return plan, masked, None


#: What a run needs later, in this order.
_MODULES = (
    "unclone.sanitize.initrds",
    "unclone.sanitize.planning",
    "unclone.sanitize.applying",
    "unclone.sanitize.verifying",
    "unclone.sanitize.inventory.taking",
)


def load_all() -> None:
    """Import what runs need, before processes are forked for them."""
    for name in _MODULES:
        import_module(name)
    helpers.load()


class _Loader:
    """Imports, in a thread, what later phases need while the engine opens the image."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loaded = {name: Event() for name in _MODULES}
        # A daemon: Ctrl-C in the middle of an import can leave it waiting for ever.
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
        finally:  # an import that failed here is done again, and fails, in the main thread
            for loaded in self._loaded.values():
                loaded.set()


@contextmanager
def _transaction(request: Request) -> Iterator[Transaction]:
    """The transaction for *request*. After a signal the error says what became of the image."""
    transaction = _new_transaction(request)
    try:
        with transaction:
            yield transaction
    except KeyboardInterrupt as interrupt:
        number = interrupt_number(interrupt)
        raise InterruptedRun(str(request.image), transaction.outcome, number) from interrupt


def _new_transaction(request: Request) -> Transaction:
    real: Transaction
    if request.as_overlays:
        from unclone.images.overlay_output import ToOverlay  # noqa: PLC0415 (only needed here)

        real = ToOverlay(request.disks, request.outputs, allow=request.allow)
    elif request.outputs:
        real = ToOutput(
            request.disks,
            request.outputs,
            allow=request.allow,
            format=Format(request.output_format) if request.output_format else None,
            overwrite=request.overwrite,
        )
    else:
        real = InPlace(request.disks, allow=request.allow, allow_overlays=request.allow_overlays)
    return Rehearsal(real) if request.dry_run else real
