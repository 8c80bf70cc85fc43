"""The calls of ``qemu-img``. Formats are always given, never probed.

Images are named by their complete block device description (``blockdev``), so
no name can be taken for an option or a protocol, and QEMU follows no header to another file. An
overlay and an output are given by their pinned names: the folder they are in may be another's.

References: qemu-img(1); exit statuses of ``check``: 0 sound, 2 corrupt, 3 leaks, 63 not supported.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from unclone.images import process
from unclone.images.errors import RefusedError, ToolError, UncloneError
from unclone.images.formats import qcow2
from unclone.images.formats.header import Format
from unclone.images.image import blockdev, file_node, layer, qemu_name, short_blockdev
from unclone.images.pinned import with_paths
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from unclone.images.image import Image

#: Seconds. A commit or a conversion takes as long as the disk is slow and the image is large.
_LONG = 24 * 3600
_CHECK = 3600


def require_readable(image: Image, *, locked: bool) -> None:
    """Have QEMU open *image*, not the chain below it, and compare the virtual sizes.

    Raises RefusedError otherwise.
    """
    name = qemu_name(layer(image, locked=locked))
    try:
        answer = process.run(["qemu-img", "info", "--output=json", name])
    except ToolError as error:
        raise RefusedError(
            f"QEMU cannot open {shown(image.path)}: {error.message}",
            hint="Copy the image again, or restore it from a backup.",
        ) from error
    size = json.loads(answer.stdout)["virtual-size"]
    if size != image.virtual_size:
        raise RefusedError(
            f"{shown(image.path)} is ambiguous: its header says {image.virtual_size} "
            f"bytes, QEMU sees {size}",
            hint="Convert it first: qemu-img convert -O qcow2 IMAGE NEW.qcow2",
        )


def require_sound(image: Image, *, locked: bool) -> None:
    """Have QEMU check the metadata of *image*, not the chain below it. Raises RefusedError."""
    if image.format is Format.RAW:
        return
    if damage := _damage(qemu_name(layer(image, locked=locked))):
        raise RefusedError(
            f"{shown(image.path)} is damaged or truncated: qemu-img check finds {damage} errors",
            hint=f"Restore it from a backup, or let QEMU try: "
            f"qemu-img check -r all -f {image.format} IMAGE",
        )


def create_overlay(
    overlay: Path, image: Image, *, locked: bool, descriptors: Sequence[int]
) -> None:
    """Write a new qcow2 with backing file *image* into the existing empty file *overlay*.

    The image is not opened (``-u``). The child inherits the locks (*descriptors*): when this
    process is killed, no other run may clean up before the child has ended, too.
    """
    backing = qemu_name(short_blockdev(image, locked=locked))
    qcow2.require_name(backing.encode(), image.path)
    on = ["-F", image.format, "-b", backing]
    process.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", *on, overlay, str(image.virtual_size)],
        keep_open=descriptors,
    )


def name_backing(overlay: Path, image: Image) -> None:
    """Let the header of *overlay*, which this process holds, name *image* by its absolute path.

    Raises RefusedError for a path that is too long for the header.
    """
    path = image.path.absolute()
    qcow2.require_name(os.fsencode(path), path)
    name = qemu_name(_alone(overlay))
    # An absolute path is never taken for a protocol: its first "/" comes before any ":".
    process.run(["qemu-img", "rebase", "-u", "-b", path, "-F", image.format, name])


def require_whole(overlay: Path) -> None:
    """Raise UncloneError when the metadata of *overlay*, which this process holds, is damaged."""
    if damage := _damage(qemu_name(_alone(overlay))):
        raise UncloneError(
            f"the temporary overlay {shown(with_paths(str(overlay)))} is damaged: "
            f"qemu-img check finds {damage} errors"
        )


def allocated(overlay: Path) -> Iterator[tuple[int, int]]:
    """The (start, length) in bytes of everything that *overlay* itself holds, in order."""
    name = qemu_name(_alone(overlay))
    answer = process.run(["qemu-img", "map", "--output=json", name], timeout=_CHECK)
    for part in json.loads(answer.stdout):
        if part.get("present", True):
            yield part["start"], part["length"]


def commit(overlay: Path, image: Image, *, descriptors: Sequence[int]) -> None:
    """Write what *overlay* holds into *image*, whose locks (*descriptors*) the child inherits.

    The overlay stays as it is, so this can be done again.
    """
    name = qemu_name(over(overlay, image, locked=True))
    process.run(
        ["qemu-img", "commit", "-q", "-d", "-t", "writeback", name],
        timeout=_LONG,
        keep_open=descriptors,
    )


def repair_leaks(image: Image, *, descriptors: Sequence[int]) -> None:
    """Give back clusters that an interrupted commit allocated and never used."""
    name = qemu_name(layer(image, locked=True))
    process.run(
        ["qemu-img", "check", "-q", "-r", "leaks", name],
        timeout=_CHECK,
        keep_open=descriptors,
    )


def convert(
    overlay: Path, image: Image, output: Path, target: Format, *, descriptors: Sequence[int]
) -> None:
    """Write *overlay* and all under it into *output*, as one image of format *target*."""
    options = []
    if target is image.format is Format.QCOW2:
        compat = "0.10" if image.variant == "v2" else "1.1"
        options = ["-o", f"compat={compat},cluster_size={image.cluster_size}"]
    name = qemu_name(over(overlay, image, locked=False))
    process.run(
        ["qemu-img", "convert", "-q", "-O", target, *options, name, output],
        timeout=_LONG,
        keep_open=descriptors,
    )


def over(overlay: Path, image: Image, *, locked: bool) -> dict[str, Any]:
    """QEMU's description of *overlay*, locked by us, on *image*, whatever its header names."""
    return {
        "driver": "qcow2",
        "file": file_node(overlay, locked=True),
        "backing": blockdev(image, locked=locked),
    }


def _alone(overlay: Path) -> dict[str, Any]:
    return {"driver": "qcow2", "file": file_node(overlay, locked=True), "backing": None}


def _damage(name: str) -> int:
    """How many errors (not leaks, which only waste space) QEMU finds in the metadata of *name*."""
    answer = process.run(
        ["qemu-img", "check", "--output=json", name], timeout=_CHECK, ok=(0, 2, 3, 63)
    )
    if answer.returncode == 63:
        return 0
    found = json.loads(answer.stdout)
    return int(found.get("corruptions", 0)) + int(found.get("check-errors", 0))
