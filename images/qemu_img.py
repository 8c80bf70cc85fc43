"""The calls of ``qemu-img``. Formats are always given, never probed.

Images are given by their complete BlockdevOptions (``blockdev``), so that no name is taken for an
option or a protocol, and QEMU follows no header to another file. Overlays and outputs are given by
their pinned names, because others may be able to write to their directory.

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
from unclone.images.image import blockdev, file_node, layer, qemu_name
from unclone.images.pinned import with_paths
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from unclone.images.image import Image

#: Seconds for a commit or a conversion of a large image on a slow disk, and for a check.
_LONG = 24 * 3600
_CHECK = 3600


def require_readable(image: Image, *, locked: bool) -> None:
    """Have QEMU open *image*, without its backing chain.

    Raises RefusedError when it cannot, or finds another virtual size than our reader.
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
    """Have QEMU check the metadata of *image*, without its backing chain. Raises RefusedError."""
    if image.format is Format.RAW:
        return
    if damage := _damage(qemu_name(layer(image, locked=locked))):
        raise RefusedError(
            f"{shown(image.path)} is damaged or truncated: qemu-img check finds {damage} errors",
            hint=f"Restore it from a backup, or let QEMU try: "
            f"qemu-img check -r all -f {image.format} IMAGE",
        )


def name_backing(overlay: Path, image: Image) -> None:
    """Set the backing file of *overlay*, whose lock is held, to the absolute path of *image*.

    Raises RefusedError for a path that is too long for the header.
    """
    path = image.path.absolute()
    qcow2.require_name(os.fsencode(path), path)
    name = qemu_name(_alone(overlay))
    # An absolute path is never taken for a protocol: its first "/" comes before any ":".
    process.run(["qemu-img", "rebase", "-u", "-b", path, "-F", image.format, name])


def require_whole(overlay: Path) -> None:
    """Raise UncloneError when the metadata of *overlay*, whose lock is held, is damaged."""
    if damage := _damage(qemu_name(_alone(overlay))):
        raise UncloneError(
            f"the temporary overlay {shown(with_paths(str(overlay)))} is damaged: "
            f"qemu-img check finds {damage} errors"
        )


def commit(overlay: Path, image: Image, *, descriptors: Sequence[int]) -> None:
    """Commit *overlay* into *image*. The child inherits the locks, *descriptors*.

    The overlay is not changed, so that this can be repeated.
    """
    name = qemu_name(over(overlay, image, locked=True))
    process.run(
        ["qemu-img", "commit", "-q", "-d", "-t", "writeback", name],
        timeout=_LONG,
        keep_open=descriptors,
    )


def repair_leaks(image: Image, *, descriptors: Sequence[int]) -> None:
    """Free the clusters that an interrupted commit allocated and did not use."""
    name = qemu_name(layer(image, locked=True))
    process.run(
        ["qemu-img", "check", "-q", "-r", "leaks", name],
        timeout=_CHECK,
        keep_open=descriptors,
    )


def convert(
    overlay: Path, image: Image, output: Path, target: Format, *, descriptors: Sequence[int]
) -> None:
    """Write *overlay* with its backing chain into *output*, an image of format *target*."""
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


def convert_alone(source: Path, form: Format, output: Path) -> None:
    """Write *source*, of format *form* and without a backing image, into the qcow2 *output*."""
    name = _whole(source, form)
    process.run(["qemu-img", "convert", "-q", "-O", "qcow2", name, output], timeout=_LONG)


def convert_back(source: Path, output: Path, options: str) -> int:
    """Write the qcow2 *source* into the VMDK *output*, made with *options* (``subformat=...``).

    Returns the bytes that have data. Raises UncloneError when both do not read the same.
    """
    name = _whole(source, Format.QCOW2)
    process.run(
        ["qemu-img", "convert", "-q", "-O", "vmdk", "-o", options, name, output], timeout=_LONG
    )
    made = _whole(output, Format.VMDK)
    answer = process.run(["qemu-img", "compare", "-q", name, made], timeout=_LONG, ok=(0, 1))
    if answer.returncode:
        raise UncloneError(f"{shown(output)} was not written as it should be")
    answer = process.run(["qemu-img", "map", "--output=json", name], timeout=_CHECK)
    return sum(int(each["length"]) for each in json.loads(answer.stdout) if each["data"])


def first_sector(overlay: Path, image: Image, output: Path) -> bytes:
    """The first 512 bytes of *overlay* with its backing chain; *output* is written for it."""
    name = qemu_name(over(overlay, image, locked=False))
    process.run(["qemu-img", "dd", "-O", "raw", "bs=512", "count=1", f"if={name}", f"of={output}"])
    return output.read_bytes()


def over(overlay: Path, image: Image, *, locked: bool) -> dict[str, Any]:
    """The BlockdevOptions of *overlay*, whose lock is held, with *image* as backing file."""
    return {**_alone(overlay), "backing": blockdev(image, locked=locked)}


def _whole(path: Path, form: Format) -> str:
    node: dict[str, Any] = {"driver": str(form), "file": file_node(path, locked=False)}
    return qemu_name({**node, "backing": None})


def _alone(overlay: Path) -> dict[str, Any]:
    return {"driver": "qcow2", "file": file_node(overlay, locked=True), "backing": None}


def _damage(name: str) -> int:
    """The number of errors that QEMU finds in the metadata of *name*, without leaked clusters."""
    answer = process.run(
        ["qemu-img", "check", "--output=json", name], timeout=_CHECK, ok=(0, 2, 3, 63)
    )
    if answer.returncode == 63:
        return 0
    found = json.loads(answer.stdout)
    return int(found.get("corruptions", 0)) + int(found.get("check-errors", 0))
