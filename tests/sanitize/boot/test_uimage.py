"""U-Boot images made and judged by the real mkimage."""

from __future__ import annotations

import random
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.sanitize.boot import uimage
from unclone.sanitize.boot.uimage import ImageType

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = b"setenv bootargs root=UUID=1111 ro\nbooti\n"


def mkimage(folder: Path, kind: str, content: bytes, *options: str) -> bytes:
    source, output = folder / "source", folder / "output"
    source.write_bytes(content)
    subprocess.run(
        ["mkimage", "-A", "arm", "-T", kind, "-C", "none", "-n", "a name", *options,
         "-d", source, output],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return output.read_bytes()


def listed(folder: Path, data: bytes) -> str:
    """What mkimage says about *data*; it checks both checksums."""
    (folder / "listed").write_bytes(data)
    return subprocess.run(
        ["mkimage", "-l", folder / "listed"],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip


def test_a_script_is_read(tmp_path: Path) -> None:
    image = uimage.parse(mkimage(tmp_path, "script", SCRIPT))
    assert image is not None
    assert (image.type, image.name, image.script) == (ImageType.SCRIPT, "a name", SCRIPT)
    assert image.intact
    assert not image.compressed


def test_a_rewritten_script_satisfies_mkimage(tmp_path: Path) -> None:
    data = mkimage(tmp_path, "script", SCRIPT)
    result = uimage.rewritten(data, lambda text: text.replace(b"1111", b"2222"))
    assert uimage.parse(result) == uimage.parse(
        mkimage(tmp_path, "script", SCRIPT.replace(b"1111", b"2222"))
    )
    assert listed(tmp_path, result) == listed(tmp_path, data)
    assert len(result) == len(data)


def test_an_initrd_inside_can_be_exchanged(tmp_path: Path) -> None:
    data = mkimage(tmp_path, "ramdisk", b"initrd")
    image = uimage.parse(data)
    assert image is not None
    assert (image.type, image.payload, image.script) == (ImageType.RAMDISK, b"initrd", None)
    result = uimage.with_payload(data, b"a longer initrd")
    again = uimage.parse(result)
    assert again is not None
    assert again.payload == b"a longer initrd"
    assert again.intact
    assert re.search(r"Data Size:\s+15 Bytes", listed(tmp_path, result))


@pytest.mark.parametrize(
    ("position", "bit"), [(-1, 1), (30, 1), (8, 4)], ids=["data", "header", "time"]
)
def test_wrong_checksums_are_noticed(tmp_path: Path, position: int, bit: int) -> None:
    data = bytearray(mkimage(tmp_path, "script", SCRIPT))
    data[position] ^= bit
    image = uimage.parse(bytes(data))
    assert image is None or not image.intact
    with pytest.raises(RefusedError):
        uimage.rewritten(bytes(data), bytes.upper)


def test_damaged_checksums_are_not_papered_over(tmp_path: Path) -> None:
    data = bytearray(mkimage(tmp_path, "script", SCRIPT))
    data[-1] ^= 1
    with pytest.raises(RefusedError, match="checksums"):
        uimage.rewritten(bytes(data), bytes.upper)


def test_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="length"):
        uimage.rewritten(mkimage(tmp_path, "script", SCRIPT), lambda text: text + b"x")


@pytest.mark.parametrize("kind", ["kernel", "ramdisk"])
def test_only_scripts_are_rewritten(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RefusedError, match="not a U-Boot script"):
        uimage.rewritten(mkimage(tmp_path, kind, b"content"), bytes.upper)


def test_anything_else_is_not_an_image(tmp_path: Path) -> None:
    data = mkimage(tmp_path, "script", SCRIPT)
    assert uimage.parse(b"#!/bin/sh\n") is None
    assert uimage.parse(bytes(200)) is None
    assert uimage.parse(data[:-1]) is None


def test_flipped_bits_never_do_more_than_refuse(tmp_path: Path) -> None:
    pristine = mkimage(tmp_path, "script", SCRIPT)
    chosen = random.Random(7)
    for _ in range(500):
        damaged = bytearray(pristine)
        damaged[chosen.randrange(len(damaged))] ^= 1 << chosen.randrange(8)
        with pytest.raises(RefusedError):
            uimage.rewritten(bytes(damaged), bytes.upper)
