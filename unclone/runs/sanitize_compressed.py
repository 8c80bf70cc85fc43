"""The run of ``unclone sanitize`` on a compressed image: unpacked, changed, packed, renamed.

The disk is unpacked into a folder beside the result, changed there, and packed into a file that
is read back; one rename puts that in its place. The file given is only read until then. The folder
is locked while the run lasts; what a killed run leaves, the next one on the file removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from unclone.images import openers
from unclone.images.archives.compression import unpack
from unclone.images.errors import InUseError, Outcome, RefusedError, UncloneError, UsageError
from unclone.images.files import explained, open_private, short_name, sync_directory
from unclone.images.interrupts import deferred, interrupt_number
from unclone.images.text import shown
from unclone.runs.failures import InterruptedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unclone.images.archives.compression import Compression
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.sanitize.report import Report

_CHUNK = 1024 * 1024


def sanitize_compressed(
    request: Request,
    kind: Compression,
    listener: Listener,
    sanitize: Callable[[Request, Listener], Report],
) -> Report:
    """As *sanitize* for the image in the file of *request*, which is compressed with *kind*.

    Raises ``UncloneError``; the file is then as it was.
    """
    _require_sense(request)
    source = Path(os.path.realpath(request.image))
    target = _target(request, source)
    outcome = Outcome.UNCHANGED
    try:
        with _folder(request, target) as folder, source.open("rb") as file:
            before = _state(file)
            disk = folder / (source.name.removesuffix(kind.suffix) or "disk")
            listener.say(f"unpacking {shown(request.image)} ({kind.name})")
            with explained("unpack the image", folder.parent), _new(disk) as unpacked:
                unpack(file, source, unpacked, kind)
            report = sanitize(replace(request, image=disk, outputs=()), listener)
            report = replace(report, image=str(request.image), result=str(target))
            if request.dry_run or report.left_alone:
                return replace(report, result=str(request.image))
            packed = folder / f"{disk.name}.packed"
            listener.say(f"packing {shown(target)} ({kind.name})")
            with explained("pack the image", folder.parent):
                _pack(disk, packed, kind)
                _restore(file, packed)
            same = source.exists() and os.path.samestat(source.stat(), os.fstat(file.fileno()))
            if not same or _state(file) != before or openers.find(source, writers_only=True):
                raise InUseError(
                    f"{shown(request.image)} was changed by something else during the run"
                )
            _require_free(request, target)
            with explained("write the result", target.parent), deferred():
                packed.rename(target)
                outcome = Outcome.COMMITTED
                sync_directory(target.parent)
            return report
    except KeyboardInterrupt as interrupt:
        number = interrupt_number(interrupt)
        raise InterruptedRun(str(request.image), outcome, number) from interrupt


def _require_sense(request: Request) -> None:
    for given, option in (
        (request.add_disks, "--add-disk"),
        (request.output_format, "--output-format"),
        (request.save_plan or request.plan, "a saved plan"),
        (request.as_overlays, "an overlay"),
    ):
        if given:
            raise UsageError(
                f"{shown(request.image)} is compressed: {option} does not go with it",
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
        import tempfile  # noqa: PLC0415 (rarely needed)

        with tempfile.TemporaryDirectory(prefix="unclone-unpacked-") as name:
            yield Path(name)
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
                left.unlink()
            yield folder
        finally:
            with deferred():
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


@contextmanager
def _new(path: Path) -> Iterator[BinaryIO]:
    with os.fdopen(open_private(path), "wb") as file:
        yield file


def _pack(disk: Path, packed: Path, kind: Compression) -> None:
    """Pack *disk* as *packed*, durably, and read that back."""
    wanted, found = hashlib.sha256(), hashlib.sha256()
    with disk.open("rb") as file, _new(packed) as target:
        with kind.pack(target) as stream:
            while chunk := file.read(_CHUNK):
                wanted.update(chunk)
                stream.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    with packed.open("rb") as file:
        for chunk in kind.unpack(file):
            found.update(chunk)
    if found.digest() != wanted.digest():
        raise UncloneError(f"what was packed with {kind.name} is not what was unpacked again")


def _restore(source: BinaryIO, packed: Path) -> None:
    """Give *packed* the permissions and, made by root, the owner of *source*."""
    pattern = os.fstat(source.fileno())
    if os.geteuid() == 0:
        os.chown(packed, pattern.st_uid, pattern.st_gid)
    packed.chmod(pattern.st_mode & 0o777 | 0o600)


def _state(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_nlink
