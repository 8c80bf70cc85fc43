"""Opening a guest with an engine: its file systems are found, checked and mounted.

``with open_guest([Drive(path, "qcow2")], engine=select_engine("auto")) as guest: ...`` finds the
guest on its disks and mounts it. Leaving the block normally writes everything to the disks; leaving
it by an exception closes them at once, unfinished: the transaction around it discards the overlay.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from unclone.images.engines.auto import AutoEngine
from unclone.images.engines.direct.engine import DirectEngine
from unclone.images.engines.engine import Drive, Engine, no_keys
from unclone.images.errors import EngineError, RefusedError, UncheckedError, UsageError
from unclone.images.guest import Guest
from unclone.images.layout_inspection import inspect_layout
from unclone.images.text import printable
from unclone.images.volumes import CheckState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unclone.images.engines.engine import Keys, Say
    from unclone.images.layout import Layout
    from unclone.images.volumes import Volumes

__all__ = ["ENGINES", "Drive", "Engine", "open_guest", "select_engine"]

#: What ``--engine`` accepts.
ENGINES = ("auto", "guestfs", "direct", "appliance")
#: The direct engine, for an image that was prepared and in which only values are replaced.
IN_PLACE = "in-place"

_REPAIR = "Repair it first (boot the guest, or run its fsck on the disk) and try again."


@contextmanager
def open_guest(
    drives: Sequence[Drive],
    *,
    engine: Engine,
    keys: Keys = no_keys,
    read_only: bool = False,
    force_check: bool = True,
    incomplete: bool = False,
    say: Say = lambda _: None,
) -> Iterator[Guest]:
    """Open the guest on *drives* (its boot disk first), check it, and mount it.

    With *read_only* nothing is written to the drives, and file systems are not checked. Otherwise
    every file system of the guest is checked before it is mounted, and its journal is replayed.
    With *incomplete* a guest whose fstab needs what no disk has is opened without that.
    Without *force_check* the engine may skip those that say they are clean. *say* is called with a
    line for the user when opening takes long.

    Raises RefusedError for disks without exactly one Linux guest, LUKS without a key, or a
    damaged file system; EngineError when the engine itself fails. An EngineError that leaves the
    block after a check was skipped is raised as UncheckedError.
    """
    skipped = False
    try:
        with engine.open(drives, keys=keys, read_only=read_only, say=say) as volumes:
            try:
                layout = inspect_layout(volumes, incomplete=incomplete)
            except OSError as error:
                raise RefusedError(
                    f"the guest cannot be read: {printable(str(error))}", hint=_REPAIR
                ) from error
            if not read_only:
                skipped = _require_sound(volumes, layout, force=force_check)
            layout.mount(volumes, read_only=read_only)
            yield Guest(volumes, layout)
    except EngineError as error:
        if skipped:
            unchecked = UncheckedError(error.message, hint=error.hint)
            unchecked.engine = error.engine
            raise unchecked from error
        raise


def select_engine(name: str) -> Engine:
    """The engine *name*: of :data:`ENGINES`, or :data:`IN_PLACE`. Raises UsageError for others."""
    if name == "auto":
        return AutoEngine()
    if name == "appliance":
        from unclone.images.engines.appliance.engine import ApplianceEngine  # noqa: PLC0415 (rarely needed)

        return ApplianceEngine()
    if name == "guestfs":
        from unclone.images.engines.guestfs.engine import GuestfsEngine  # noqa: PLC0415 (slow to load)

        return GuestfsEngine()
    if name in {"direct", IN_PLACE}:
        return DirectEngine(in_place=name == IN_PLACE)
    raise UsageError(
        f"there is no engine '{printable(name)}'", hint=f"One of: {', '.join(ENGINES)}."
    )


def _require_sound(volumes: Volumes, layout: Layout, *, force: bool) -> bool:
    """Check every file system of the guest, and return whether a check was skipped."""
    skipped = False
    for device in layout.checkable:
        hashed = {layout.mounts[place].device for place in layout.hashed & layout.mounts.keys()}
        result = volumes.check(device, repair=device not in hashed, force=force)
        skipped |= result.skipped
        if result.state is CheckState.DAMAGED:
            raise RefusedError(
                f"the file system on {printable(device)} is damaged: {printable(result.output)}",
                hint=_REPAIR,
            )
    return skipped
