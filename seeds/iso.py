"""The seed as an ISO 9660 image: volume id ``cidata``, Rock Ridge and Joliet names.

Both extensions are written because ISO 9660 itself cannot spell ``user-data``: Linux reads the
names through Rock Ridge, and tools that know only Joliet (7-Zip, Windows) find them as well.

The bytes depend on nothing but the files and the time stamp: see :mod:`seeds.iso_dates`.

References: ECMA-119 (ISO 9660); IEEE P1282 (Rock Ridge); Joliet Specification, Microsoft 1995;
cloud-init ``doc/rtd/reference/datasources/nocloud.rst`` (label, file names).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from seeds.errors import FAILED, SeedError
from seeds.iso_dates import SECTOR, set_dates

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "cidata"
__all__ = ["LABEL", "SECTOR", "iso_image", "read_iso_image"]

#: Storage with 4 KiB sectors, opened with O_DIRECT, cannot serve a file that ends in between.
ALIGNMENT = 4096

#: Regular, readable by all: the guest's root mounts it, and the image itself is 0600.
_FILE_MODE = 0o100444


def iso_image(files: Mapping[str, bytes], timestamp: int) -> bytes:
    """An ISO image with *files* in its root directory, every date set to *timestamp* (Unix time).

    Raises :class:`SeedError` when a file name or size cannot be represented.
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
        for name, content in sorted(files.items()):
            image.add_fp(
                io.BytesIO(content),
                len(content),
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
    return bytes(written)


def read_iso_image(image: bytes) -> dict[str, bytes]:
    """The files in the root of an ISO image, by their Rock Ridge names.

    Raises :class:`SeedError` when it is not an ISO image labelled ``cidata``.
    """
    reader = pycdlib.PyCdlib()
    try:
        reader.open_fp(io.BytesIO(image))
    except PyCdlibException as error:
        raise SeedError(f"not an ISO image: {error}", status=FAILED) from error
    try:
        if reader.pvd.volume_identifier.decode("ascii", "replace").strip() != LABEL:
            raise SeedError(f"its label is not {LABEL}", status=FAILED)
        found = {}
        for child in reader.list_children(rr_path="/"):
            if child is None or child.is_dot() or child.is_dotdot():
                continue
            name = child.rock_ridge.name().decode("utf-8", "replace")
            out = io.BytesIO()
            reader.get_file_from_iso_fp(out, rr_path=f"/{name}")
            found[name] = out.getvalue()
    except PyCdlibException as error:
        raise SeedError(f"the ISO image cannot be read back: {error}", status=FAILED) from error
    finally:
        reader.close()
    return found
