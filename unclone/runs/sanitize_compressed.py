"""The run of ``unclone sanitize`` on a compressed image: unpacked, changed, packed, renamed.

What is packed is read back before it is renamed; see :mod:`unclone.runs.replacing`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from unclone.images.archives.compression import unpack
from unclone.images.errors import UncloneError
from unclone.images.files import explained
from unclone.images.text import shown
from unclone.runs.replacing import new_file, outside, replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    with replacing(request, "compressed") as work:
        folder = work.folder
        disk = folder / (work.source.name.removesuffix(kind.suffix) or "disk")
        listener.say(f"unpacking {shown(request.image)} ({kind.name})")
        with explained("unpack the image", folder.parent), new_file(disk) as unpacked:
            unpack(work.file, work.source, unpacked, kind)
        report = sanitize(replace(request, image=disk, outputs=()), listener)
        report = of_file(report, request, folder, work.target)
        if request.dry_run or report.left_alone:
            return report
        packed = folder / f"{disk.name}.packed"
        listener.say(f"packing {shown(work.target)} ({kind.name})")
        with explained("pack the image", folder.parent):
            pack(disk, packed, kind)
        work.put(packed)
        return report


def of_file(report: Report, request: Request, folder: Path, target: Path) -> Report:
    """*report* on disks in *folder*, as one on the file of *request*, whose result is *target*."""
    done = not (request.dry_run or report.left_alone)
    return replace(
        report,
        image=str(request.image),
        result=str(target if done else request.image),
        warnings=tuple(outside(each, folder, request.image) for each in report.warnings),
    )


def pack(disk: Path, packed: Path, kind: Compression) -> None:
    """Pack *disk* as *packed*, durably, and read that back."""
    wanted, found = hashlib.sha256(), hashlib.sha256()
    with disk.open("rb") as file, new_file(packed) as target:
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
