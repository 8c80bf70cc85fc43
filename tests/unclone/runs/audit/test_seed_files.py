"""Seeds that other programs made, read from every kind of image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.images.process import run
from unclone.runs.audit.seed_files import seed_files
from unclone.runs.audit.sources import Sort, sort_of

if TYPE_CHECKING:
    from pathlib import Path

ISO_TOOLS = {
    "joliet and rock ridge": ("genisoimage", "-quiet", "-V", "cidata", "-J", "-r"),
    "rock ridge alone": ("genisoimage", "-quiet", "-V", "cidata", "-r"),
    "joliet alone": ("genisoimage", "-quiet", "-V", "CIDATA", "-J"),
    "short names": ("genisoimage", "-quiet", "-V", "cidata"),
}
FILES = {
    "meta-data": b"instance-id: i-1\n",
    "network-config": b"version: 2\n",
    "user-data": b"#cloud-config\n",
}


@pytest.mark.parametrize("made", [*ISO_TOOLS, "FAT12", "FAT16", "FAT32", "folder"])
def test_a_seed_is_read_whichever_program_made_it(tmp_path: Path, made: str) -> None:
    folder = tmp_path / "seed"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    files = sorted(folder.iterdir())
    image = tmp_path / "seed.img"
    if made in ISO_TOOLS:
        run([*ISO_TOOLS[made], "-o", image, *files])
    elif made == "folder":
        image = folder
    else:
        megabytes = {"FAT12": 2, "FAT16": 16, "FAT32": 60}[made]
        with image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        run(["mkfs.vfat", "-F", made[3:], "-n", "CIDATA", image])
        run(["mcopy", "-i", image, *files, "::"])
    assert made == "folder" or sort_of(image) is Sort.SEED
    assert seed_files(image) == FILES


@pytest.mark.parametrize("kind", ["iso", "fat"])
def test_a_damaged_seed_is_refused(tmp_path: Path, kind: str) -> None:
    content = bytearray(64 * 1024)
    if kind == "iso":
        content[32769:32774] = b"CD001"
        content[32808:32840] = b"cidata".ljust(32)
    else:
        content[43:54] = b"CIDATA     "
        content[510:512] = b"\x55\xaa"
    path = tmp_path / "seed.iso"
    path.write_bytes(content)
    assert sort_of(path) is Sort.SEED
    with pytest.raises(RefusedError, match="cannot be read"):
        seed_files(path)
