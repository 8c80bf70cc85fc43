"""The transaction: an image is either untouched or completely done.

All changes go to a temporary overlay beside the image; ``commit`` writes them into it. See
:mod:`images.journal` for the point of no return and :mod:`images.recovery` for what follows an
interruption. ``with InPlace([Disk(path)]) as transaction: ...; transaction.commit()``; leaving the
block without a commit throws the changes away.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from images import journal, overlay, qemu_img, space
from images.chain import read_chain
from images.errors import InUseError, RefusedError, UncloneError, UsageError
from images.files import explained, identity, remove_durably, sync_directory, sync_file
from images.image import real_path, require_writable, shown
from images.interrupts import deferred
from images.journal import Entry
from images.lock import ImageLock
from images.overlay import journal_path, overlay_path, reserve_path, run_files
from images.recovery import Action, complete, has_leftovers, recover_before, require_settled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from images.formats import Format
    from images.image import Image
    from images.recovery import Recovery


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of the guest, as a person names it: a path, and a format if they gave one."""

    path: Path
    format: Format | None = None


class Transaction(ABC):
    """Overlays to work on, one per disk, and what becomes of them.

    While it is open, nobody else can change the images. Everything up to :meth:`commit` raises
    with the images bit for bit as they were.
    """

    def __init__(self, disks: Sequence[Disk], *, allow: Sequence[Path] = ()) -> None:
        self._disks = tuple(disks)
        self._allow = tuple(allow)
        self._lock = ImageLock()
        self._marked = False
        #: The images as they were read and found sound, in the order of the disks.
        self.images: tuple[Image, ...] = ()
        #: A qcow2 overlay for each image, readable by its owner only; to be changed at will.
        self.overlays: tuple[Path, ...] = ()
        #: What a person should know before the commit.
        self.warnings: tuple[str, ...] = ()
        #: What was done about earlier, interrupted runs.
        self.recovered: tuple[Recovery, ...] = ()
        #: Whether the result is complete and where it belongs.
        self.committed = False

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._end)
            self._begin()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def commit(self) -> None:
        """Make the result appear. The engine must have let go of the overlays.

        Ctrl-C takes effect only afterwards. Raises UncloneError with the images as they were, or,
        when the disk fails in the middle of writing, with a hint how to finish. A second call
        does nothing.
        """
        if self.committed:
            return
        with deferred():
            for path in self.overlays:
                self._let_go(path)
            for path, image in zip(self.overlays, self.images, strict=False):
                overlay.require_intact(path, image)
            self._commit()
            self.committed = True

    @abstractmethod
    def _begin(self) -> None:
        """Lock, read and check the images, and make the overlays."""

    @abstractmethod
    def _commit(self) -> None:
        """Put the result where it belongs."""

    @abstractmethod
    def _left_overs(self) -> Sequence[Path]:
        """The files that must be gone when this ends without having passed the marker."""

    def _end(self) -> None:
        with deferred():
            try:
                if not self._marked:
                    remove_durably(path for path in self._left_overs() if path.parent.is_dir())
            finally:
                self._lock.release()

    def _let_go(self, path: Path) -> None:
        try:
            self._lock.exclusive([path])
        except InUseError as error:
            raise UncloneError(f"{shown(path)} is still open: {error.message}") from error

    def _read(self, *, writable: bool) -> tuple[Image, ...]:
        """Lock the images with everything under them, and read them as they are then."""
        own = [real_path(disk.path) for disk in self._disks]
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
            self._lock.shared((*image.data_files, *image.foundation))
        images = self._chains()
        if images != before or any(not self._lock.covers(path) for path in own):
            raise InUseError(
                f"{shown(own[0])} changed while it was being opened", hint="Try again."
            )
        for image in images:
            for link in image.chain:
                require_settled(link.path)
                qemu_img.require_sound(link, locked=writable and link is image)
        return images

    def _chains(self) -> tuple[Image, ...]:
        return tuple(read_chain(disk.path, disk.format, allow=self._allow) for disk in self._disks)


class InPlace(Transaction):
    """Changes the images themselves, all of them or none."""

    def __init__(
        self,
        disks: Sequence[Disk],
        *,
        allow: Sequence[Path] = (),
        allow_overlays: bool = False,
    ) -> None:
        """Prepare a transaction over *disks*.

        *allow* are further directories in which backing and data files may be; *allow_overlays*
        changes an image even though others in its directory have it as their backing file.
        """
        super().__init__(disks, allow=allow)
        self._allow_overlays = allow_overlays
        self._made: list[Path] = []

    def _begin(self) -> None:
        recovered = [recover_before(disk.path, allow=self._allow) for disk in self._disks]
        self.recovered = tuple(r for r in recovered if r.action is not Action.NOTHING)
        images = self._read(writable=True)
        for image in images:
            if has_leftovers(image.path):  # since the recovery, another run came and was killed
                raise InUseError(f"{shown(image.path)} is in use by another run", hint="Try again.")
            _require_changeable(image)
        self.warnings = tuple(text for image in images for text in self._warnings(image))
        overlays = []
        for image in images:
            path = overlay_path(image.path)
            self._made.append(image.path)
            overlay.create(
                path, image, locked=True, descriptors=self._lock.descriptors, like=image.path
            )
            overlays.append(path)
        self.images, self.overlays = images, tuple(overlays)

    def _warnings(self, image: Image) -> Sequence[str]:
        warnings = []
        if image.snapshots:
            warnings.append(
                f"{shown(image.path)} holds {image.snapshots} internal snapshot(s), which keep "
                "the old identity"
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
            warnings.append(f"{names} have {shown(image.path)} as backing file and will break")
        return warnings

    def _commit(self) -> None:
        for image in self.images:
            if not self._lock.covers(image.path):
                raise RefusedError(f"{shown(image.path)} was replaced by another file meanwhile")
            # Extents and data files were held for reading, so that the engine could open them.
            self._lock.exclusive(image.files)
        first = self.images[0].path
        with explained("write the commit marker", first.parent):
            for path in self.overlays:
                sync_file(path)
                sync_directory(path.parent)
            entries = [Entry(i.path, i.format, identity(i.path)) for i in self.images]
            wanted = [
                (image, space.needed(path, image), reserve_path(image.path))
                for path, image in zip(self.overlays, self.images, strict=True)
            ]
            with space.reserved(wanted):
                self._mark(entries)
        complete(entries, self.images, self._lock)

    def _mark(self, entries: Sequence[Entry]) -> None:
        self._marked = True
        try:
            journal.write(entries)
        except BaseException:
            # The journal appears by rename: without it, nothing has happened yet.
            self._marked = journal_path(entries[0].image).exists()
            raise

    def _left_overs(self) -> Sequence[Path]:
        return [path for image in self._made for path in run_files(image)]


def _require_distinct(paths: Sequence[Path]) -> None:
    seen: set[tuple[int, int]] = set()
    for path in paths:
        found = path.stat()
        if (found.st_dev, found.st_ino) in seen:
            raise UsageError(f"{shown(path)} is given more than once", hint="Name each disk once.")
        seen.add((found.st_dev, found.st_ino))


def _require_independent(images: Sequence[Image]) -> None:
    below = {path for image in images for path in image.foundation}
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
            f"{shown(image.path)} was renamed in the middle of an interrupted run "
            f"(see {shown(renamed[0])}) and may be incomplete",
            hint="Give it its old name back and run unclone recover.",
        )
