"""Proxmox backups, written and read by code that shares nothing with that of unclone.

Reference: pve-qemu ``vma_spec.txt``. Everything is held in memory.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UUID = bytes(range(16))


def summed(head: bytes, at: int) -> bytes:
    blank = head[:at] + bytes(16) + head[at + 16 :]
    return head[:at] + hashlib.md5(blank).digest() + head[at + 16 :]


def written(configs: Mapping[str, bytes], devices: Mapping[str, bytes]) -> bytes:
    """A backup with clusters of all devices in turn, as a running backup job has them."""
    blobs, config_names, config_data, table = b"\0", b"", b"", bytes(32)
    for name, content in configs.items():
        for blob, which in ((name.encode() + b"\0", 0), (content, 1)):
            place = len(blobs).to_bytes(4, "big")
            blobs += len(blob).to_bytes(2, "little") + blob
            if which:
                config_data += place
            else:
                config_names += place
    for name, content in devices.items():
        table += len(blobs).to_bytes(4, "big") + bytes(4) + len(content).to_bytes(8, "big")
        table += bytes(16)
        blobs += (len(name) + 1).to_bytes(2, "little") + name.encode() + b"\0"
    size = len(blobs)
    blobs += bytes(-size % 512)
    head = b"VMA\0" + (1).to_bytes(4, "big") + UUID + (1_600_000_000).to_bytes(8, "big") + bytes(16)
    for number in (12288, size, 12288 + len(blobs)):
        head += number.to_bytes(4, "big")
    head = head.ljust(2044, b"\0") + config_names.ljust(1024, b"\0")
    head += config_data.ljust(1024, b"\0") + bytes(4) + table.ljust(8192, b"\0") + blobs
    return summed(head, 32) + extents([*devices.values()])


def extents(devices: list[bytes]) -> bytes:
    order = sorted(
        (start, number)
        for number, content in enumerate(devices, 1)
        for start in range(0, len(content), 65536)
    )
    out = b""
    while order:
        infos, blocks = b"", []
        for start, number in order[:59]:
            cluster = devices[number - 1][start : start + 65536].ljust(65536, b"\0")
            mask = 0
            for index in range(16):
                block = cluster[4096 * index :][:4096]
                if block.strip(b"\0"):
                    blocks.append(block)
                    mask += 2**index
            infos += (mask << 48 | number << 32 | start // 65536).to_bytes(8, "big")
        head = b"VMAE" + bytes(2) + len(blocks).to_bytes(2, "big") + UUID + bytes(16)
        out += summed(head + infos.ljust(472, b"\0"), 24) + b"".join(blocks)
        del order[:59]
    return out


def read(backup: bytes) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The configuration files and the devices of *backup*, which has to be sound."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(backup[at : at + size], "big")

    def blob(place: int) -> bytes:
        start = number(48, 4) + place
        return backup[start + 2 : start + 2 + int.from_bytes(backup[start : start + 2], "little")]

    end = number(56, 4)
    assert backup[:8] == b"VMA\0\0\0\0\1"
    assert summed(backup[:end], 32) == backup[:end]
    configs = {
        blob(number(2044 + 4 * each, 4)).decode().rstrip("\0"): blob(number(3068 + 4 * each, 4))
        for each in range(256)
        if number(2044 + 4 * each, 4)
    }
    sizes = {each: number(4096 + 32 * each + 8, 8) for each in range(256)}
    content = {each: bytearray(-(-size // 65536) * 65536) for each, size in sizes.items() if size}
    seen: set[int] = set()
    at = end
    while at < len(backup):
        head = backup[at : at + 512]
        assert summed(head, 24) == head
        assert head[:4] + head[8:24] == b"VMAE" + backup[8:24]
        at += 512
        for place in range(40, 512, 8):
            info = int.from_bytes(head[place : place + 8], "big")
            if info == 0:
                continue
            assert info % 2**48 not in seen
            seen.add(info % 2**48)
            for index in range(16):
                if info >> 48 & 2**index:
                    start = info % 2**32 * 65536 + index * 4096
                    content[info >> 32 & 255][start : start + 4096] = backup[at : at + 4096]
                    at += 4096
    assert len(seen) == sum(len(each) // 65536 for each in content.values())
    names = {each: blob(number(4096 + 32 * each, 4)).decode().rstrip("\0") for each in content}
    return configs, {names[each]: bytes(made[: sizes[each]]) for each, made in content.items()}
