"""Physical volumes whose headers are damaged."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tests.support.disks import FileBlocks
from unclone.images.identifiers import lvm

if TYPE_CHECKING:
    from pathlib import Path


def test_a_volume_whose_uuid_is_no_text_is_damaged(tmp_path: Path) -> None:
    """A label with a right checksum, without metadata areas."""
    body = struct.pack("<I8s32sQ", 32, b"LVM2 001", b"\xff" * 32, 1 << 20).ljust(492, b"\0")
    checksum = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    image = tmp_path / "image"
    image.write_bytes(bytes(512) + struct.pack("<8sQI", b"LABELONE", 1, checksum) + body)
    volume = lvm.read(FileBlocks(image))
    assert volume is not None
    assert lvm.unsettable({"/dev/sda": volume}, "/dev/sda") == "its LVM metadata is damaged"
