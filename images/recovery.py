"""Finishing or discarding an interrupted run.

With a valid commit marker every overlay is complete and durable, and is committed again. Without a
marker the image was never changed, and the overlay is removed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images import journal, overlay, qemu_img
from unclone.images.chain import read_chain
from unclone.images.errors import InUseError, RefusedError, UncloneError
from unclone.images.files import remove_durably, sync_file
from unclone.images.formats import vdi
from unclone.images.formats.header import Format
from unclone.images.image import real_path
from unclone.images.interrupts import deferred
from unclone.images.journal import Marker
from unclone.images.lock import ImageLock
from unclone.images.overlay import (
    claim_path,
    journal_path,
    output_overlay_path,
    overlay_path,
    partial_path,
    run_files,
)
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.image import Image


class Action(StrEnum):
    """What :func:`recover` did."""

    FINISHED = "finished"
    DISCARDED = "discarded"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What :func:`recover` did, and to which images, as real paths."""

    action: Action
    images: tuple[Path, ...]

    def __str__(self) -> str:
        """A sentence for the user."""
        names = ", ".join(shown(path) for path in self.images)
        match self.action:
            case Action.FINISHED:
                return f"finished the interrupted run on {names}: the image is complete"
            case Action.DISCARDED:
                return f"discarded the interrupted run on {names}: the image is as it was"
            case Action.NOTHING:
                return f"nothing to recover for {names}"


def recover(path: Path, *, allow: Sequence[Path] = ()) -> Recovery:
    """Finish or discard an interrupted run on the image at *path*.

    *allow* is as for ``read_chain``. Raises InUseError while a run or a VM uses the image,
    RefusedError when the left-over files belong to another image or are incomplete; then nothing is
    changed. Raises UncloneError when the commit fails; it can be repeated.
    """
    output = Path(os.path.realpath(path.parent), path.name)
    discarded = _discard_output(output)
    if discarded and not path.exists():
        return Recovery(Action.DISCARDED, (output,))
    image = real_path(path)
    if not has_leftovers(image):
        return Recovery(Action.DISCARDED if discarded else Action.NOTHING, (image,))
    with ImageLock() as lock, deferred():
        lock.exclusive([image])
        found = journal.marker_of(image)
        if found is None:
            remove_durably(run_files(image))
            return Recovery(Action.DISCARDED, (image,))
        marker, first = found
        if not marker.finished:
            return _finish(marker.entries, first, lock, allow)
        lock.exclusive(journal.followers(marker, first))
        _clean_up(marker, first)
        return Recovery(Action.FINISHED, (image,))


def recover_before(path: Path, *, allow: Sequence[Path] = ()) -> Recovery:
    """As :func:`recover`, at the start of a new run; its InUseError says that another one runs."""
    try:
        return recover(path, allow=allow)
    except InUseError as error:
        raise InUseError(
            f"{shown(path)} is in use: another unclone run on it has not ended", hint=error.hint
        ) from error


def has_leftovers(image: Path) -> bool:
    """Whether a run on the image at the real path *image* was interrupted, or is active."""
    return any(os.path.lexists(path) for path in (journal_path(image), overlay_path(image)))


def require_settled(image: Path) -> None:
    """Raise RefusedError when a commit into the image at real path *image* was interrupted."""
    found = journal.marker_of(image)
    if found is not None and not found[0].finished:
        raise RefusedError(
            f"{shown(image)} is incomplete: the last run on it was interrupted",
            hint=f"Finish it first: unclone recover {shown(image)}",
        )


def complete(
    entries: Sequence[journal.Entry],
    images: Sequence[Image],
    overlays: Sequence[Path],
    lock: ImageLock,
    *,
    repair: bool = False,
) -> None:
    """Commit *overlays* into *images*, and remove the overlays and the marker.

    *overlays* are pinned names, in the order of the images, which are pinned, too. The marker for
    *entries* has been written, and *lock* holds all files. *repair* corrects metadata that an
    earlier, killed attempt left inconsistent. Raises UncloneError, with marker and overlays kept so
    that it can be repeated.
    """
    try:
        for layer, image in zip(overlays, images, strict=True):
            if repair and image.format is Format.VDI:
                vdi.repair(image.names[0])
            qemu_img.commit(layer, image, descriptors=lock.descriptors)
            if repair and image.format is Format.QCOW2:
                qemu_img.repair_leaks(image, descriptors=lock.descriptors)
            for name in image.names:
                sync_file(name)
            for path in image.files:
                _require_covered(path, lock)
    except (UncloneError, OSError) as error:
        names = ", ".join(shown(image.path) for image in images)
        reason = error.message if isinstance(error, UncloneError) else str(error)
        raise UncloneError(
            f"the changes to {names} could not be written completely: {reason}",
            hint="They are safe in the overlay beside the image. Free space or repair the disk, "
            f"then finish with: unclone recover {shown(images[0].path)}",
        ) from error
    journal.write_finished(entries)
    _clean_up(Marker(tuple(entries), finished=True), entries[0].image)


def _require_covered(path: Path, lock: ImageLock) -> None:
    if not lock.covers(path):
        raise UncloneError(f"{shown(path)} was replaced by another file meanwhile")


def _finish(
    entries: Sequence[journal.Entry], first: Path, lock: ImageLock, allow: Sequence[Path]
) -> Recovery:
    journal.require_rights(entries, first)
    lock.exclusive(entry.image for entry in entries)
    images, overlays = [], []
    for entry in entries:
        layer = overlay_path(entry.image)
        if layer.is_symlink() or not layer.is_file():
            raise RefusedError(
                f"the overlay {shown(layer)} of an interrupted commit is missing, so "
                f"{shown(entry.image)} may be incomplete",
                hint="Put the overlay back and run unclone recover again, or restore the image "
                f"from a backup and remove {shown(journal_path(first))}",
            )
        image = read_chain(entry.image, entry.format, allow=allow, repairable=True)
        lock.exclusive([*image.files, layer])
        lock.shared(image.backing_files)
        overlays.append(lock.name(layer))
        overlay.require_intact(overlays[-1], image)
        images.append(lock.pin(image))
        journal.require_identity(entry, images[-1].names[0], first)
    complete(entries, images, overlays, lock, repair=True)
    return Recovery(Action.FINISHED, tuple(image.path for image in images))


def _clean_up(marker: Marker, first: Path) -> None:
    """Remove the files of a finished run: of each disk the journal last, and last the marker."""
    for image in (*journal.followers(marker, first), first):
        remove_durably(path for path in run_files(image) if path != journal_path(image))
        remove_durably([journal_path(image)])


def _discard_output(output: Path) -> bool:
    """Remove the files of a killed run that was writing *output*; return whether there were any."""
    claim = claim_path(output)
    if not os.path.exists(claim):  # noqa: PTH110 (no error when the path is too long)
        return False
    with ImageLock() as lock, deferred():
        lock.exclusive([claim])
        remove_durably([output_overlay_path(output), partial_path(output), claim])
    return True
