"""The seed as an ISO 9660 image: volume id ``cidata``, Rock Ridge and Joliet names.

Both extensions are written because ISO 9660 itself cannot spell ``user-data``: Linux reads the
names through Rock Ridge, and tools that know only Joliet (7-Zip, Windows) find them as well.

The bytes depend on nothing but the files and the time stamp: see :mod:`unclone.seeds.iso_dates`.

References: ECMA-119 (ISO 9660); IEEE P1282 (Rock Ridge); Joliet Specification, Microsoft 1995;
cloud-init ``doc/rtd/reference/datasources/nocloud.rst`` (label, file names).
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from unclone.seeds.errors import FAILED, SeedError
from unclone.seeds.iso_dates import set_dates
from unclone.seeds.iso_layout import PRIMARY, SECTOR, SUPPLEMENTARY, VOLUME_ID, descriptors, tree

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "cidata"

#: Storage with 4 KiB sectors, opened with O_DIRECT, cannot serve a file that ends in between.
ALIGNMENT = 4096

#: Bytes of files up to which the structure of an image is kept for the next one like it.
_REMEMBERED_SIZE = 256 * 1024

#: Regular, readable by all: the guest's root mounts it, and the image itself is 0600.
_FILE_MODE = 0o100444


def iso_image(files: Mapping[str, bytes], timestamp: int) -> bytes:
    """An ISO image with *files* in its root directory, every date set to *timestamp* (Unix time).

    Raises :class:`SeedError` when a file name or size cannot be represented.
    """
    sizes = tuple(sorted((name, len(content)) for name, content in files.items()))
    small = sum(size for _, size in sizes) <= _REMEMBERED_SIZE
    skeleton, extents = (_skeleton if small else _skeleton.__wrapped__)(sizes, timestamp)
    image = bytearray(skeleton)
    for name, extent in extents.items():
        image[extent] = files[name]
    return bytes(image)


@lru_cache(maxsize=64)
def _skeleton(
    sizes: tuple[tuple[str, int], ...], timestamp: int
) -> tuple[bytes, Mapping[str, slice]]:
    """An image in which the content of every file is zeros, and where the contents go.

    Nothing else in an image depends on the contents, so the machines of a fleet share a few of
    these. pycdlib makes them.
    """
    image = pycdlib.PyCdlib()
    try:
        image.new(
            interchange_level=3,
            vol_ident=LABEL,
            joliet=3,
            rock_ridge="1.09",
            app_ident_str="UNCLONE",
        )
        for name, size in sizes:
            image.add_fp(
                io.BytesIO(bytes(size)),
                size,
                iso_path=f"/{name.upper().replace('-', '_')}.;1",
                rr_name=name,
                joliet_path=f"/{name}",
                file_mode=_FILE_MODE,
            )
        out = io.BytesIO()
        image.write_fp(out)
    except PyCdlibException as error:
        raise SeedError(f"the ISO image cannot be made: {error}", status=FAILED) from error
    finally:
        image.close()
    written = bytearray(out.getvalue())
    written += bytes(-len(written) % ALIGNMENT)
    set_dates(written, timestamp)
    primary = dict(descriptors(written))[PRIMARY]
    records = (record for record in tree(written, primary) if not record.is_directory)
    return bytes(written), {record.rock_ridge_name: record.extent for record in records}


def read_iso_image(image: bytes) -> dict[str, bytes]:
    """The files in the root of an image this module wrote, by name.

    Both trees are read, and have to say the same. Raises :class:`SeedError` when they do not, and
    for what is not an ISO image labelled ``cidata``.
    """
    found = dict(descriptors(image))
    if set(found) != {PRIMARY, SUPPLEMENTARY}:
        raise SeedError("not an ISO image with Joliet names", status=FAILED)
    label = image[found[PRIMARY] : found[PRIMARY] + SECTOR][VOLUME_ID]
    if label.strip() != LABEL.encode():
        raise SeedError(f"its label is not {LABEL}", status=FAILED)
    rock_ridge, joliet = (
        {
            (r.rock_ridge_name if kind == PRIMARY else r.joliet_name): bytes(image[r.extent])
            for r in tree(image, found[kind])
            if not r.is_directory
        }
        for kind in (PRIMARY, SUPPLEMENTARY)
    )
    if rock_ridge != joliet:
        raise SeedError("its Rock Ridge and Joliet trees differ", status=FAILED)
    return rock_ridge
