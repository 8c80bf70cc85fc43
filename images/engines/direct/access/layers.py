"""The layers of an image, for reading it without QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.engines.direct.access.clusters import Layer
from unclone.images.formats import qcow2
from unclone.images.formats.header import Format, Source
from unclone.images.image import open_image
from unclone.images.text import shown

if TYPE_CHECKING:
    from pathlib import Path

    from unclone.images.image import Image


def layers_of(image: Image) -> tuple[Layer, ...]:
    """The layers of *image*, the topmost first; none when only QEMU can read one of them."""
    found = [_layer(link) for link in image.chain]
    return tuple(layer for layer in found if layer) if all(found) else ()


def layers_over(overlay: Path, image: Image, below: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """*below*, the layers of *image*, with the qcow2 *overlay* on top, as its file is now.

    The overlay is one that can be read without QEMU.
    """
    with open_image(overlay) as file:
        tables = qcow2.read_tables(Source(file, shown(overlay), Format.QCOW2))
    assert tables is not None  # noqa: S101
    return (Layer(str(overlay), image.virtual_size, *tables), *below)


def _layer(image: Image) -> Layer | None:
    path, *data = map(str, image.names)
    if image.format is Format.RAW:
        return Layer(path, image.virtual_size)
    if image.format is not Format.QCOW2:
        return None
    with open_image(image.names[0]) as file:
        tables = qcow2.read_tables(Source(file, shown(image.path), image.format))
    if tables is None:
        return None
    return Layer(path, image.virtual_size, *tables, data[0] if data else "")
