"""Runs on a file that holds a disk image: what is common to all kinds of such files.

The disk is taken out into a folder beside the result, changed there, and packed into a new file;
one rename puts that in its place. The file given is only read until then. The folder is locked
while the run lasts; what a killed run leaves, the next one on the file removes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from unclone.images import openers
from unclone.images.archives.compression import recognise_compression, unpack
from unclone.images.errors import InUseError, Outcome, RefusedError, UncloneError, UsageError
from unclone.images.files import explained, open_private, scratch_folder, short_name, sync_directory
from unclone.images.interrupts import deferred, interrupt_number
from unclone.images.text import shown
from unclone.runs.failures import InterruptedRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.archives.compression import Compression
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request


@dataclass
class Replacement:
    """A file that is being made anew. ``folder`` is private, and removed at the end."""

    request: Request
    source: Path
    target: Path
    folder: Path
    file: BinaryIO  # the source, open for reading
    before: tuple[int, ...]
    outcome: Outcome = Outcome.UNCHANGED

    def put(self, packed: Path) -> None:
        """Have *packed*, which is in the folder, appear as the target, durably.

        Raises InUseError when the source was changed in the meantime.
        """
        source = self.source
        _restore(self.file, packed)
        same = source.exists() and os.path.samestat(source.stat(), os.fstat(self.file.fileno()))
        changed = not same or _state(self.file) != self.before
        if changed or openers.find(source, writers_only=True):
            raise InUseError(
                f"{shown(self.request.image)} was changed by something else during the run"
            )
        _require_free(self.request, self.target)
        with explained("write the result", self.target.parent), deferred():
            packed.rename(self.target)
            self.outcome = Outcome.COMMITTED
            sync_directory(self.target.parent)


@contextmanager
def replacing(request: Request, what: str) -> Iterator[Replacement]:
    """What a run on the file of *request*, which is *what* ("compressed"), works with.

    Errors from inside name the file of *request* instead of one in the folder. Raises
    ``UncloneError``; the file is then as it was.
    """
    _require_sense(request, what)
    source = Path(os.path.realpath(request.image))
    target = _target(request, source)
    work: Replacement | None = None
    try:
        with _folder(request, target) as folder, source.open("rb") as file:
            work = Replacement(request, source, target, folder, file, _state(file))
            try:
                yield work
            except UncloneError as error:
                _name_the_file(error, work)
                raise
    except KeyboardInterrupt as interrupt:
        number = interrupt_number(interrupt)
        outcome = work.outcome if work else Outcome.UNCHANGED
        raise InterruptedRun(str(request.image), outcome, number) from interrupt


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A private file that is written."""
    with os.fdopen(open_private(path), "wb") as file:
        yield file


def unpacked(work: Replacement, name: str, listener: Listener) -> tuple[Path, Compression | None]:
    """What is replaced, without its compression: in the run's folder as *name* where it has one."""
    compression = recognise_compression(work.source)
    if compression is None:
        return work.source, None
    listener.say(f"unpacking {shown(work.request.image)} ({compression.name})")
    target = work.folder / name
    with (
        explained(f"unpack {shown(work.request.image)}", work.folder.parent),
        new_file(target) as file,
    ):
        unpack(work.file, work.source, file, compression, tar=True)
    return target, compression


def outside(text: str, folder: Path, image: Path) -> str:
    """*text* with what it says of files in *folder* said of *image*."""
    entries = [str(each) for each in folder.iterdir()] if folder.is_dir() else []
    for name in sorted(entries, key=len, reverse=True):
        text = text.replace(name, shown(image))
    inside = re.compile(re.escape(str(folder)) + r"(/[^\s/'\":,;]+)*")
    return inside.sub(lambda _: shown(image), text)


def _name_the_file(error: UncloneError, work: Replacement) -> None:
    if str(work.folder) in error.hint:  # a command on a file that will be gone
        error.hint = "The file given is as it was."
    error.message = outside(error.message, work.folder, work.request.image)
    error.args = (error.message,)


def _require_sense(request: Request, what: str) -> None:
    for given, option in (
        (request.add_disks, "--add-disk"),
        (request.output_format, "--output-format"),
        (request.save_plan or request.plan, "a saved plan"),
        (request.as_overlays, "an overlay"),
    ):
        if given:
            raise UsageError(
                f"{shown(request.image)} is {what}: {option} does not go with it",
                hint="Unpack it first.",
            )
    found = os.stat(request.image)  # noqa: PTH116 (follows links, as the run does)
    if not request.outputs and not request.dry_run and found.st_nlink > 1:
        raise RefusedError(
            f"{shown(request.image)} has {found.st_nlink} names: only one would be changed",
            hint="Remove the others, or use --output FILE.",
        )
    if found_open := openers.find(Path(os.path.realpath(request.image)), writers_only=True):
        raise InUseError(f"{shown(request.image)} is in use: {', '.join(found_open)}")


def _target(request: Request, source: Path) -> Path:
    if not request.outputs:
        return source
    folder = Path(os.path.realpath(request.outputs[0].parent))
    if not folder.is_dir():
        raise UsageError(
            f"the directory of the output {shown(request.outputs[0])} does not exist",
            hint="Make it first.",
        )
    target = folder / request.outputs[0].name
    if target.exists() and target.samefile(source):
        raise UsageError(
            f"the output {shown(target)} is the image itself",
            hint="Leave out --output to change the image in place.",
        )
    _require_free(request, target)
    return target


def _require_free(request: Request, target: Path) -> None:
    taken = target.is_symlink() or target.exists()
    if request.outputs and taken and (target.is_dir() or not request.overwrite):
        raise UsageError(
            f"the output {shown(target)} already exists",
            hint="Name another file, or remove this one first.",
        )


@contextmanager
def _folder(request: Request, target: Path) -> Iterator[Path]:
    """A private, empty folder that no other run has; a dry run writes nothing beside the image."""
    if request.dry_run:
        with scratch_folder("unclone-unpacked-") as folder:
            yield folder
        return
    folder = target.with_name(f".{short_name(target.name)}.unclone-unpacked")
    with explained("make a temporary folder", target.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if found.st_uid != os.geteuid():
            raise UncloneError(f"{shown(folder)} is another user's", hint="Remove it first.")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(found, folder.lstat())
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise InUseError(f"another run is working on {shown(target)}", hint="Try again later.")
        try:
            for left in folder.iterdir():
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left)
                else:
                    left.unlink()
            yield folder
        finally:
            with deferred():
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _restore(source: BinaryIO, packed: Path) -> None:
    """Give *packed* the permissions and, made by root, the owner of *source*."""
    pattern = os.fstat(source.fileno())
    if os.geteuid() == 0:
        os.chown(packed, pattern.st_uid, pattern.st_gid)
    packed.chmod(pattern.st_mode & 0o777 | 0o600)


def _state(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_nlink
