"""The transaction: an image is either unchanged or completely changed.

All changes go to a temporary overlay beside the image; ``commit`` writes them into the image. See
``journal`` for the commit marker and ``recovery`` for interrupted runs. ``with
InPlace([Disk(path)]) as transaction: ...; transaction.commit()``; leaving the block without a
commit discards the changes.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from unclone.images import journal, overlay, space
from unclone.images.chain import read_chain
from unclone.images.chain_checks import chain_checks
from unclone.images.errors import InUseError, Outcome, RefusedError, UncloneError, UsageError
from unclone.images.files import (
    explained,
    identity,
    remove_durably,
    require_same,
    sync_directory,
    sync_file,
)
from unclone.images.image import real_path, require_writable
from unclone.images.interrupts import deferred
from unclone.images.journal import Entry
from unclone.images.lock import ImageLock
from unclone.images.overlay import journal_path, overlay_path, reserve_path, run_files
from unclone.images.pinned import pinned_name
from unclone.images.process import run_concurrently
from unclone.images.recovery import Action, complete, has_leftovers, recover_before, require_settled
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.images.formats.header import Format
    from unclone.images.image import Image
    from unclone.images.recovery import Recovery


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the guest as the user gave it: a path, and a format or None."""

    path: Path
    format: Format | None = None


class Transaction(ABC):
    """One overlay for each disk, which is committed or discarded.

    While it is open, no other process can change the images. An exception before :meth:`commit`
    leaves them unchanged.
    """

    #: Whether the images themselves are changed, and locked exclusively.
    in_place = False

    def __init__(self, disks: Sequence[Disk], *, allow: Sequence[Path] = ()) -> None:
        self.disks = tuple(disks)
        self.allow = tuple(allow)
        self._lock = ImageLock()
        self._marked = False
        #: The files that were made, with their descriptors from ``create_pinned``.
        self._own: dict[Path, int] = {}
        #: The images with valid headers, in the order of the disks.
        self.images: tuple[Image, ...] = ()
        #: A qcow2 overlay of mode 0600 for each image; the engine writes to it.
        self.overlays: tuple[Path, ...] = ()
        #: Warnings for the user, before the commit.
        self.warnings: tuple[str, ...] = ()
        #: What was done about earlier, interrupted runs on the images.
        self.recovered: tuple[Recovery, ...] = ()
        #: Whether the result is complete, under its own name.
        self.committed = False

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._end)
            self._begin()
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def opened(self, path: Path) -> Path:
        """A pinned name of the file that was made as *path*, one of :attr:`overlays`."""
        return pinned_name(self._own[path])

    def commit(self) -> None:
        """Write the result. The engine must have closed the overlays.

        Ctrl-C takes effect only afterwards. Raises UncloneError with the images unchanged, or, when
        the disk fails during the commit, with a hint how to finish it. A second call does nothing.
        """
        if self.committed:
            return
        with deferred():
            for path in self.overlays:
                self._let_go(path)
            self._commit()
            self.committed = True

    @property
    def outcome(self) -> Outcome:
        """What was done to the images, also after an exception."""
        if self.committed:
            return Outcome.COMMITTED
        return Outcome.INCOMPLETE if self._marked else Outcome.UNCHANGED

    @abstractmethod
    def check(self, images: Sequence[Image]) -> Sequence[str]:
        """Refuse *images* that this cannot work on; return warnings about them.

        Reads only. Raises UncloneError.
        """

    @abstractmethod
    def _begin(self) -> None:
        """Lock, read and check the images, and make the overlays."""

    @abstractmethod
    def _commit(self) -> None:
        """Write the result."""

    @abstractmethod
    def _left_overs(self) -> Sequence[Path]:
        """The files to remove when this ends without a commit marker."""

    def _end(self) -> None:
        with deferred():
            try:
                if not self._marked:
                    remove_durably(path for path in self._left_overs() if path.parent.is_dir())
            finally:
                self._lock.release()
                while self._own:
                    os.close(self._own.popitem()[1])

    def _require_intact(self) -> None:
        for path, image in zip(self.overlays, self.images, strict=False):
            overlay.require_intact(self.opened(path), image)

    def _overlay(self, path: Path, image: Image, *, locked: bool, like: Path | None = None) -> None:
        """Make the overlay *path* of *image*, as ``overlay.create`` does."""
        self._own[path] = overlay.create(path, image, locked=locked, like=like)

    def _let_go(self, path: Path) -> None:
        require_same(path, self._own[path])
        try:
            self._lock.exclusive([path])
        except InUseError as error:
            raise UncloneError(f"{shown(path)} is still open: {error.message}") from error

    def _read(self, *, writable: bool) -> tuple[Image, ...]:
        """Lock and read the images with their backing chains, and have QEMU check them."""
        images = self._hold(writable=writable)
        first, *others = chain_checks(images, writable=writable)
        run_concurrently(first, *others)
        return images

    def _hold(self, *, writable: bool) -> tuple[Image, ...]:
        """Lock the images with their backing chains, and read their headers."""
        own = [real_path(disk.path) for disk in self.disks]
        _require_distinct(own)
        if writable:
            for path in own:
                require_writable(path)
            self._lock.exclusive(own)
        else:
            self._lock.shared(own)
        before = self._chains()
        if writable:
            _require_independent(before)
        for image in before:
            self._lock.shared((*image.data_files, *image.backing_files))
        images = self._chains()
        if images != before or any(not self._lock.covers(path) for path in own):
            raise InUseError(
                f"{shown(own[0])} changed while it was being opened", hint="Try again."
            )
        for image in images:
            for link in image.chain:
                require_settled(link.path)
        return tuple(map(self._lock.pin, images))

    def _chains(self) -> tuple[Image, ...]:
        return tuple(read_chain(disk.path, disk.format, allow=self.allow) for disk in self.disks)


class ReadOnly(Transaction):
    """The images themselves, locked against writers. No overlays are made; nothing is committed."""

    def _begin(self) -> None:
        self.images = self._read(writable=False)

    def check(self, images: Sequence[Image]) -> Sequence[str]:  # noqa: ARG002
        """Accept every image that can be read."""
        return ()

    def _commit(self) -> None:
        """Nothing was changed."""

    def _left_overs(self) -> Sequence[Path]:
        return ()


class InPlace(Transaction):
    """Changes the images themselves, either all of them or none."""

    in_place = True

    def __init__(
        self,
        disks: Sequence[Disk],
        *,
        allow: Sequence[Path] = (),
        allow_overlays: bool = False,
    ) -> None:
        """Prepare a transaction over *disks*.

        *allow* are further directories in which backing and data files may be. *allow_overlays*
        permits changing an image that is the backing file of others in its directory.
        """
        super().__init__(disks, allow=allow)
        self._allow_overlays = allow_overlays
        self._made: list[Path] = []

    def _begin(self) -> None:
        recovered = [recover_before(disk.path, allow=self.allow) for disk in self.disks]
        self.recovered = tuple(r for r in recovered if r.action is not Action.NOTHING)
        images = self._hold(writable=True)
        for image in images:
            if has_leftovers(image.path):  # another run started after the recovery and was killed
                raise InUseError(f"{shown(image.path)} is in use by another run", hint="Try again.")
        self.warnings = tuple(self.check(images))
        self._made += [image.path for image in images]
        self.images = images
        self.overlays = tuple(overlay_path(image.path) for image in images)
        # QEMU checks the images while it makes the overlays, which are removed if one is damaged.
        run_concurrently(self._make_overlays, *chain_checks(images, writable=True))

    def check(self, images: Sequence[Image]) -> Sequence[str]:
        """Refuse images that are read-only, not writable in this format, or backing files."""
        for image in images:
            require_writable(image.path)
            _require_changeable(image)
        _require_independent(images)
        return tuple(text for image in images for text in self._warnings(image))

    def _make_overlays(self) -> None:
        for path, image in zip(self.overlays, self.images, strict=True):
            self._overlay(path, image, locked=True, like=image.names[0])

    def _warnings(self, image: Image) -> Sequence[str]:
        warnings = []
        if image.snapshots:
            warnings.append(
                f"{shown(image.path)} holds {image.snapshots} internal snapshot(s), which keep "
                "the old identity"
            )
        if (more := image.names[0].stat().st_nlink - 1) > 0:
            warnings.append(
                f"{shown(image.path)} has {more} more name(s) (hard links), whose content changes "
                "with it"
            )
        with explained("look for overlays of the image", image.path.parent):
            above = list(overlay.dependents(image.path))
        names = ", ".join(shown(path.name) for path in above)
        if above and not self._allow_overlays:
            raise RefusedError(
                f"{shown(image.path)} is the backing file of {names}; changing it would "
                "corrupt them",
                hint="Use --output FILE to leave it as it is.",
            )
        if above:
            warnings.append(f"{shown(image.path)} is the backing file of {names}, which will break")
        return warnings

    def _commit(self) -> None:
        for image in self.images:
            for path, inode in zip(image.files, image.inodes, strict=True):
                if not _leads_to(path, inode):
                    raise RefusedError(f"{shown(path)} was replaced by another file during the run")
            # Extents and data files were held for reading, so that the engine could open them.
            self._lock.exclusive(image.files)
        first = self.images[0].path
        overlays = [self.opened(path) for path in self.overlays]
        entries: list[Entry] = []
        wanted: list[tuple[Image, int, Path]] = []
        with explained("write the commit marker", first.parent):
            run_concurrently(
                self._make_durable,
                self._require_intact,
                lambda: entries.extend(map(_entry, self.images)),
                lambda: wanted.extend(map(_needed, overlays, self.images)),
            )
            with space.reserved(wanted):
                self._mark(entries)
        complete(entries, self.images, overlays, self._lock)

    def _make_durable(self) -> None:
        for path in self.overlays:
            sync_file(self.opened(path))
            sync_directory(path.parent)

    def _mark(self, entries: Sequence[Entry]) -> None:
        self._marked = True
        try:
            journal.write(entries)
        except BaseException:
            # The journal appears by rename: without it, nothing was committed.
            self._marked = journal_path(entries[0].image).exists()
            raise

    def _left_overs(self) -> Sequence[Path]:
        return [path for image in self._made for path in run_files(image)]


def _leads_to(path: Path, inode: tuple[int, int]) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == inode


def _entry(image: Image) -> Entry:
    return Entry(image.path, image.format, identity(image.names[0]))


def _needed(overlay: Path, image: Image) -> tuple[Image, int, Path]:
    """*image*, the bytes that committing *overlay* may take, and the file to reserve them."""
    return image, space.needed(overlay, image), reserve_path(image.path)


def _require_distinct(paths: Sequence[Path]) -> None:
    seen: set[tuple[int, int]] = set()
    for path in paths:
        found = path.stat()
        if (found.st_dev, found.st_ino) in seen:
            raise UsageError(f"{shown(path)} is given more than once", hint="Name each disk once.")
        seen.add((found.st_dev, found.st_ino))


def _require_independent(images: Sequence[Image]) -> None:
    below = {path for image in images for path in image.backing_files}
    for image in images:
        if below.intersection(image.files):
            raise RefusedError(
                f"{shown(image.path)} is also the backing file of another of the disks",
                hint="Use --output FILE to leave it as it is.",
            )


def _require_changeable(image: Image) -> None:
    if image.unwritable:
        raise RefusedError(
            f"{shown(image.path)} cannot be changed in place: {image.unwritable}",
            hint="Use --output FILE to write a changed copy.",
        )
    for path in image.data_files:
        require_writable(path)
    renamed = list(journal.renamed_from(image.path))
    if renamed:
        raise RefusedError(
            f"{shown(image.path)} was renamed after an interrupted run "
            f"(see {shown(renamed[0])}) and may be incomplete",
            hint="Give it its old name back and run unclone recover.",
        )
