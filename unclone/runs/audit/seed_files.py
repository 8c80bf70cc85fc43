"""The files of a seed, whichever program made it: ISO 9660 with long names or not, FAT, a folder.

References: pycdlib's facades; cloud-init, "NoCloud" (the names of the files, the label).
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from unclone.images.engines.direct.block_file import BlockFile
from unclone.images.engines.direct.vfat.filesystem import FatFileSystem
from unclone.images.errors import EngineError, RefusedError
from unclone.images.file_systems.fat_boot_sector import parse_sane
from unclone.images.text import shown

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes; a seed has kilobytes.
LIMIT = 64 * 1024 * 1024
#: What cloud-init reads.
NAMES = ("meta-data", "user-data", "vendor-data", "network-config")
_VOLUME = 32768


class _Memory(BlockFile):
    """Bytes in memory in place of a disk."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, count: int) -> bytes:
        """As of a disk."""
        return self._content[max(offset, 0) : max(offset, 0) + max(count, 0)]


def seed_files(path: Path) -> dict[str, bytes]:
    """The files of the seed at *path*. Raises RefusedError for one that cannot be read."""
    if path.is_dir():
        return {n: _read(path / n) for n in NAMES if (path / n).is_file()}
    content = _read(path)
    try:
        is_iso = content[_VOLUME + 1 : _VOLUME + 6] == b"CD001"
        return _iso(content) if is_iso else _fat(content)
    except (ArithmeticError, EngineError, LookupError, OSError, ValueError, struct.error) as error:
        raise RefusedError(
            f"{shown(path)} is labelled as a seed and cannot be read: {error}"
        ) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise RefusedError(f"{shown(path)} is larger than any seed")
    return content


def _iso(content: bytes) -> dict[str, bytes]:
    from pycdlib.pycdlib import PyCdlib  # noqa: PLC0415 (slow to load)
    from pycdlib.pycdlibexception import PyCdlibException  # noqa: PLC0415 (likewise)

    image = PyCdlib()
    found: dict[str, bytes] = {}
    try:
        image.open_fp(io.BytesIO(content))
        if image.has_rock_ridge():
            kind = "rr_path"
        elif image.has_joliet():
            kind = "joliet_path"
        else:
            kind = "iso_path"
        for record in image.list_children(**{kind: "/"}):
            if record is None or record.is_dir():
                continue
            path = image.full_path_from_dirrecord(record, rockridge=kind == "rr_path")
            name = path.rpartition("/")[2].partition(";")[0].rstrip(".").lower().replace("_", "-")
            # Without long names there are eight characters.
            wanted = next((each for each in NAMES if name in {each, each[:8]}), "")
            if wanted and record.get_data_length() <= LIMIT:
                output = io.BytesIO()
                image.get_file_from_iso_fp(output, **{kind: path})
                found[wanted] = output.getvalue()
    except PyCdlibException as error:
        raise ValueError(str(error)) from error
    return found


def _fat(content: bytes) -> dict[str, bytes]:
    boot = parse_sane(content[:512], len(content))
    if boot is None:
        raise ValueError("its FAT is damaged")
    volume = FatFileSystem(_Memory(content), boot, writable=False)
    names = {name.decode("utf-8", "replace").lower(): name for name, _ in volume.scan(b"/")}
    return {name: volume.read(b"/" + names[name], LIMIT) for name in NAMES if name in names}
