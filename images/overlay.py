"""The temporary files of a run beside an image, and overlays of the image there."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from unclone.images import qemu_img
from unclone.images.errors import RefusedError, UncloneError
from unclone.images.files import (
    create_pinned,
    draft_path,
    explained,
    open_emptied,
    require_same,
    short_name,
)
from unclone.images.formats import qcow2
from unclone.images.formats.header import Format, Source
from unclone.images.formats.table import probe, read_header
from unclone.images.image import open_image, qemu_name, short_blockdev
from unclone.images.pinned import pinned_name, with_paths
from unclone.images.qcow2_overlay import Overlay
from unclone.images.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from unclone.images.image import Image


#: Clusters of 64 KiB, as QEMU makes them.
_CLUSTER_BITS = 16

_OWN = re.compile(r"\..*\.unclone-[a-z.-]+[0-9a-z]+", re.DOTALL)


def overlay_path(image: Path) -> Path:
    """The overlay with the changes to the image at *image*."""
    return _hidden(image, "overlay.qcow2")


def journal_path(image: Path) -> Path:
    """The commit marker of the image at *image*."""
    return _hidden(image, "journal.json")


def reserve_path(image: Path) -> Path:
    """The file that reserves disk space for the commit."""
    return _hidden(image, "reserve")


def run_files(image: Path) -> tuple[Path, ...]:
    """Every file that a run makes beside *image*."""
    journal = journal_path(image)
    return (draft_path(journal), reserve_path(image), journal, overlay_path(image))


def output_overlay_path(output: Path) -> Path:
    """The overlay of a run that will write *output*."""
    return _hidden(output, "output-overlay.qcow2")


def partial_path(output: Path) -> Path:
    """The file that is renamed to *output* when it is complete."""
    return _hidden(output, "output-partial")


def claim_path(output: Path) -> Path:
    """The file that is locked by the run that will write *output*."""
    return _hidden(output, "output-claim")


def create(overlay: Path, image: Image, *, locked: bool, like: Path | None = None) -> int:
    """Make *overlay*, a qcow2 on top of *image*, readable by its owner only.

    Made by root, it gets the owner of *like*. With *locked*, QEMU opens *image* without a lock,
    because this process holds it. Returns the descriptor of ``create_pinned``. Raises UncloneError.
    """
    with explained("make the temporary overlay", overlay.parent):
        made = create_pinned(overlay, like=like)
    try:
        with explained("make the temporary overlay", overlay.parent):
            fill_empty(pinned_name(made), image, locked=locked)
        require_same(overlay, made)
    except BaseException:
        os.close(made)
        raise
    return made


def fill_empty(overlay: Path, image: Image, *, locked: bool) -> None:
    """Make the existing file *overlay* a qcow2 on top of *image* that holds nothing yet.

    *image* is not opened. Raises RefusedError when its path or its disk does not fit the header,
    OSError when the file cannot be written.
    """
    backing = qemu_name(short_blockdev(image, locked=locked)).encode()
    qcow2.require_name(backing, image.path)
    empty = Overlay(backing, image.format, image.virtual_size, set(), _CLUSTER_BITS)
    with open_emptied(overlay) as file:
        empty.fill(file, lambda _, count: bytes(count))


def allocated(overlay: Path) -> Iterator[tuple[int, int]]:
    """Start and length in bytes of the areas that *overlay* itself holds, in order.

    Raises RefusedError for a qcow2 with extended L2 entries, which no run makes.
    """
    with open_image(overlay) as file:
        yield from qcow2.allocated(Source(file, shown(with_paths(str(overlay))), Format.QCOW2))


def require_intact(overlay: Path, image: Image) -> None:
    """Raise UncloneError unless *overlay* is an undamaged qcow2 of the size of *image*."""
    path = shown(with_paths(str(overlay)))
    with open_image(overlay) as file:
        header = read_header(file, Format.QCOW2, name=path)
    if header.extents or header.unclean or header.virtual_size != image.virtual_size:
        raise UncloneError(
            f"{path} is not the overlay that was made for {shown(image.path)}",
            hint="Nothing was changed.",
        )
    qemu_img.require_whole(overlay)


def dependents(image: Path) -> Iterator[Path]:
    """The images in the directory of *image* that have it as backing file."""
    target = image.stat()
    for path in sorted(image.parent.iterdir()):
        if _OWN.fullmatch(path.name) or not path.is_file():
            continue  # of killed runs: an active one would hold the lock
        for name in _backing_names(path):
            try:
                found = (path.resolve().parent / name).stat()
            except (OSError, ValueError):
                continue
            if os.path.samestat(found, target):
                yield path
                break


def _backing_names(path: Path) -> Iterator[str]:
    """The file names in the backing file entry of the image at *path*."""
    try:
        with open_image(path.resolve()) as file:
            found = probe(file.read(1024))
            header = read_header(file, found, name=shown(path))
    except RefusedError:
        return  # unreadable, or no image
    name = header.backing
    if name.startswith("json:"):
        try:
            yield from _file_names(json.loads(name.removeprefix("json:")))
        except (ValueError, RecursionError):
            return
    elif name:
        yield name.removeprefix("file:")


def _file_names(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key.endswith("filename") and isinstance(value, str):
                yield value
            yield from _file_names(value)


def _hidden(image: Path, what: str) -> Path:
    return image.with_name(f".{short_name(image.name)}.unclone-{what}")
