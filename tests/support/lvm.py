"""A physical volume of LVM2 with linear volumes, written without LVM: its tools need devices.

References: LVM2 2.03 ``lib/format_text/layout.h``, ``lib/label/label.h``, ``lib/misc/crc.c``.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from tests.support.disks import MIB
from tests.support.templates import copy_into

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GROUP_UUID = "Gr0upA-1111-2222-3333-4444-5555-Gr0upB"
MEMBER_UUID = "MembrA-1111-2222-3333-4444-5555-MembrB"
VOLUME_UUID = "V0lum{}-1111-2222-3333-4444-5555-VolumB"
_AREA, _AREA_SIZE = 4096, MIB - 4096
_EXTENT = 4 * MIB


def make_physical_volume(
    path: Path, group: str, volumes: Mapping[str, Path], *, kind: str = "striped"
) -> Path:
    """Make an image of a physical volume at *path*: *volumes* are the contents, by name.

    *kind* is the type of their segments.
    """
    counts = {name: -(-content.stat().st_size // _EXTENT) for name, content in volumes.items()}
    total = sum(counts.values())
    with path.open("wb") as file:
        file.truncate(MIB + total * _EXTENT)
    sections, first = [], 0
    for number, (name, content) in enumerate(volumes.items()):
        sections.append(
            f'{name} {{\nid = "{VOLUME_UUID.format(number)}"\n'
            'status = ["READ", "WRITE", "VISIBLE"]\nflags = []\nsegment_count = 1\n'
            f"segment1 {{\nstart_extent = 0\nextent_count = {counts[name]}\n"
            f'type = "{kind}"\nstripe_count = 1\nstripes = [\n"pv0", {first}\n]\n}}\n}}\n'
        )
        copy_into(content, path, MIB + first * _EXTENT)
        first += counts[name]
    text = (
        f'{group} {{\nid = "{GROUP_UUID}"\nseqno = 1\nformat = "lvm2"\n'
        'status = ["RESIZEABLE", "READ", "WRITE"]\nflags = []\n'
        f"extent_size = {_EXTENT // 512}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n"
        f'physical_volumes {{\npv0 {{\nid = "{MEMBER_UUID}"\ndevice = "/dev/sda1"\n'
        f'status = ["ALLOCATABLE"]\nflags = []\ndev_size = {path.stat().st_size // 512}\n'
        f"pe_start = {MIB // 512}\npe_count = {total}\n}}\n}}\n"
        f"logical_volumes {{\n{''.join(sections)}}}\n}}\n"
        'contents = "Text Format Volume Group"\nversion = 1\ndescription = ""\n'
        'creation_host = "template"\ncreation_time = 1700000000\n\0'
    ).encode()
    with path.open("r+b") as file:
        file.seek(512)
        file.write(_label(path.stat().st_size))
        file.seek(_AREA)
        file.write(_area_header(text))
        file.seek(_AREA + 512)
        file.write(text)
    return path


def _label(size: int) -> bytes:
    areas = struct.pack("<8Q", MIB, 0, 0, 0, _AREA, _AREA_SIZE, 0, 0)
    holder = MEMBER_UUID.replace("-", "").encode() + struct.pack("<Q", size) + areas
    covered = (struct.pack("<I", 32) + b"LVM2 001" + holder).ljust(492, b"\0")
    return struct.pack("<8sQI", b"LABELONE", 1, _crc(covered)) + covered


def _area_header(text: bytes) -> bytes:
    magic = b"\x20LVM2\x20x[5A%r0N*>"
    header = magic + struct.pack("<IQQ", 1, _AREA, _AREA_SIZE)
    header += struct.pack("<QQII", 512, len(text), _crc(text), 0)
    header = header.ljust(508, b"\0")
    return struct.pack("<I", _crc(header)) + header


def _crc(data: bytes) -> int:
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
