"""A stamp explains every byte in which two disks differ, or there is none."""

from __future__ import annotations

import gzip
import json
import random
import struct
import uuid
import zlib
from typing import TYPE_CHECKING

import pytest

from unclone.images.crc32c import crc32c
from unclone.sanitize.stamps.compiling import UnexplainedError, compiled
from unclone.sanitize.stamps.stamp import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLUSTER = 4096
SIZE = 16 * CLUSTER
KEYS = ("disk-guid /dev/sda", "file-system-uuid /dev/sda1", "vfat-serial /dev/sda2", "text mac")


class Bytes:
    """A disk in memory."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, offset: int, count: int) -> bytes:
        return self.content[offset : offset + count]


def values(seed: int) -> dict[str, str]:
    draw = random.Random(seed)
    ids = [str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(2)]
    serial = f"{draw.getrandbits(16):04X}-{draw.getrandbits(16):04X}"
    mac = "52:54:00:" + ":".join(f"{draw.getrandbits(8):02x}" for _ in range(3))
    return dict(zip(KEYS, (*ids, serial, mac), strict=True))


def disk(own: Mapping[str, str]) -> bytearray:
    """A GPT, an ext superblock, a FAT boot sector, texts, and a gzip member, all of one machine."""
    guid, fs, serial, mac = (own[key] for key in KEYS)
    content = bytearray(SIZE)
    table = bytearray(128 * 4)
    table[16:32] = uuid.UUID(fs).bytes_le  # a partition has the value of the file system
    content[1024 : 1024 + len(table)] = table
    header = bytearray(
        struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            0,
            0,
            1,
            15,
            4,
            9,
            uuid.UUID(guid).bytes_le,
            2,
            4,
            128,
            zlib.crc32(table),
        )
    )
    struct.pack_into("<I", header, 16, zlib.crc32(header))
    content[512 : 512 + len(header)] = header
    block = bytearray(1024)
    struct.pack_into("<H", block, 0x38, 0xEF53)
    struct.pack_into("<I", block, 0x64, 0x400)  # metadata_csum
    block[0x68:0x78] = uuid.UUID(fs).bytes
    struct.pack_into("<I", block, 0x3FC, crc32c(0xFFFFFFFF, block[:0x3FC]))
    content[2 * CLUSTER + 1024 : 2 * CLUSTER + 2048] = block
    content[5 * CLUSTER + 67 : 5 * CLUSTER + 71] = struct.pack(
        "<I", int(serial.replace("-", ""), 16)
    )
    text = f"UUID={fs} /\nUUID={serial} /boot\nhwaddr {mac.upper()}\n".encode()
    content[8 * CLUSTER - 20 : 8 * CLUSTER - 20 + len(text)] = text  # over the end of a cluster
    packed = gzip.compress(f"root=UUID={fs}".encode(), 0, mtime=0)
    content[10 * CLUSTER + 5 : 10 * CLUSTER + 5 + len(packed)] = packed
    return content


def compile_(first: bytearray, second: bytearray, one: int = 1, two: int = 2) -> Stamp:
    return compiled(
        Bytes(bytes(SIZE)),
        Bytes(bytes(first)),
        Bytes(bytes(second)),
        [(0, SIZE)],
        size=SIZE,
        cluster=CLUSTER,
        values=(values(one), values(two)),
    )


def applied(stamp: Stamp, own: Mapping[str, str]) -> bytes:
    content = bytearray(SIZE)
    for number, block in stamp.stamped(own).items():
        content[number * CLUSTER : (number + 1) * CLUSTER] = block
    return bytes(content)


@pytest.mark.parametrize("seed", range(3, 13))
def test_a_third_machine_is_stamped_as_it_would_be_made(seed: int) -> None:
    stamp = compile_(disk(values(1)), disk(values(2)))
    assert applied(stamp, values(seed)) == bytes(disk(values(seed)))


def test_a_stamp_survives_its_file() -> None:
    stamp = compile_(disk(values(1)), disk(values(2)))
    again = Stamp.from_json(json.loads(json.dumps(stamp.to_json())))
    assert applied(again, values(7)) == bytes(disk(values(7)))


def other_byte(content: bytearray) -> None:
    content[12 * CLUSTER + 100] ^= 1


def packed_text(content: bytearray) -> None:
    own = values(2)["file-system-uuid /dev/sda1"]
    packed = gzip.compress(f"root=UUID={own}".encode(), 9, mtime=0)
    content[10 * CLUSTER + 5 : 10 * CLUSTER + 105] = packed.ljust(100, b"\0")


def wrong_checksum(content: bytearray) -> None:
    content[2 * CLUSTER + 1024 + 0x3FC] ^= 1


@pytest.mark.parametrize("spoil", [other_byte, packed_text, wrong_checksum])
def test_what_is_not_known_is_no_stamp(spoil: Callable[[bytearray], None]) -> None:
    second = disk(values(2))
    spoil(second)
    with pytest.raises(UnexplainedError):
        compile_(disk(values(1)), second)
