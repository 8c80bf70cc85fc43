"""Proxmox VE's backups (VMA): the disks of a machine and its configuration, in one stream.

A header has the configuration files and the devices; extents follow, each with up to 59 clusters
of 64 KiB, of which only blocks that are not zeros are there. Header and extents have MD5 sums;
content has none.

References: pve-qemu ``vma_spec.txt``, ``vma.h``, ``vma-writer.c``, ``vma-reader.c``.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from unclone.images.archives.compression import SIZE_LIMIT
from unclone.images.errors import RefusedError, UncloneError
from unclone.images.text import printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_MAGIC = b"VMA\0"
CLUSTER = 65536
_BLOCK = 4096
_ZEROS = bytes(CLUSTER)
#: Magic, version, UUID, time of creation, MD5; offset and size of the blobs, size of the header.
_START = struct.Struct(">4sI16sq16sIII")
#: Two tables of places in the blobs, and one of devices: a place and a size each.
_CONFIGS_AT, _CONFIGS, _DEVICES_AT, _DEVICES = 2044, 256, 4096, 256
_DEVICE = struct.Struct(">IIQ16x")
_BLOBS_AT = 12288
_HEADER_LIMIT = 2**20
_MD5_AT, _EXTENT_MD5_AT = slice(32, 48), slice(24, 40)
#: Magic, number of blocks, UUID, MD5; then 59 entries: mask of blocks, device, cluster.
_EXTENT = struct.Struct(">4s2xH16s16s")
_ENTRY = struct.Struct(">HxBI")
_ENTRIES = 59
_EXTENT_SIZE = _EXTENT.size + _ENTRIES * _ENTRY.size


@dataclass(frozen=True, slots=True)
class Device:
    """A disk in the backup. ``size`` in bytes; ``name`` as ``drive-scsi0``."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Backup:
    """What the header says. Devices have their numbers; ``created`` in seconds since 1970."""

    created: int
    configs: tuple[tuple[str, bytes], ...]
    devices: Mapping[int, Device]
    uuid: bytes
    header_size: int


def read_backup(file: BinaryIO, path: Path) -> Backup:
    """The header of the backup in *file*, which messages call *path*. Raises RefusedError."""
    file.seek(0)
    head = file.read(_BLOBS_AT)
    if len(head) < _BLOBS_AT or not head.startswith(_MAGIC):
        _refuse(path, "it ends within its header")
    _, version, mark, created, md5, blobs_at, blobs_size, size = _START.unpack_from(head)
    if version != 1:
        _refuse(path, f"its version is {version}")
    if not _BLOBS_AT <= blobs_at <= blobs_at + blobs_size <= size <= _HEADER_LIMIT:
        _refuse(path, "its header contradicts itself")
    head += file.read(size - _BLOBS_AT)
    if len(head) != size or _sum_without(head, _MD5_AT) != md5:
        _refuse(path, "its header has another checksum")
    blobs = head[blobs_at : blobs_at + blobs_size]
    table = struct.unpack_from(f">{2 * _CONFIGS}I", head, _CONFIGS_AT)
    configs = [
        (_name(blobs, name, path), _blob(blobs, content, path))
        for name, content in zip(table[:_CONFIGS], table[_CONFIGS:], strict=True)
        if name and content
    ]
    devices = {}
    for number in range(1, _DEVICES):
        place, _, length = _DEVICE.unpack_from(head, _DEVICES_AT + number * _DEVICE.size)
        if place and length:
            devices[number] = Device(_name(blobs, place, path), length)
    names = [device.name for device in devices.values()]
    if len(set(names)) != len(names) or sum(each.size for each in devices.values()) > SIZE_LIMIT:
        _refuse(path, "its table of devices cannot be right")
    return Backup(created, tuple(configs), devices, mark, size)


def clusters(file: BinaryIO, backup: Backup, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number of a device, byte in it, and the 64 KiB there, for every cluster of every device.

    In the order of the file; the last cluster of a device has zeros after its end. Raises
    RefusedError for a damaged extent, a cluster that is there twice, and one that is missing.
    """
    missing = {
        number: bytearray(b"\1") * -(-device.size // CLUSTER)
        for number, device in backup.devices.items()
    }
    file.seek(backup.header_size)
    while head := file.read(_EXTENT_SIZE):
        if len(head) < _EXTENT_SIZE:
            _refuse(path, "it ends within an extent")
        magic, blocks, mark, md5 = _EXTENT.unpack_from(head)
        if magic != b"VMAE" or mark != backup.uuid or _sum_without(head, _EXTENT_MD5_AT) != md5:
            _refuse(path, "an extent has another checksum")
        for mask, number, cluster in _ENTRY.iter_unpack(head[_EXTENT.size :]):
            if not number:
                continue
            left = missing.get(number, b"")
            if cluster >= len(left) or not left[cluster]:
                _refuse(path, f"cluster {cluster} of device {number} is there twice, or is none")
            missing[number][cluster] = 0
            blocks -= mask.bit_count()
            yield number, cluster * CLUSTER, _content(file, mask, path)
        if blocks:
            _refuse(path, "an extent has another number of blocks than it says")
    if any(map(any, missing.values())):
        _refuse(path, "clusters are missing at its end")


def extract(file: BinaryIO, backup: Backup, outputs: Mapping[int, BinaryIO], path: Path) -> None:
    """Write every device of *backup* to its empty file in *outputs*, sparse.

    Raises RefusedError.
    """
    for number, at, content in clusters(file, backup, path):
        if content is not _ZEROS:
            outputs[number].seek(at)
            outputs[number].write(content)
    for number, device in backup.devices.items():
        outputs[number].truncate(device.size)


def write_backup(backup: Backup, disks: Mapping[int, Path], output: BinaryIO) -> None:
    """Write *backup* with the content of *disks*, by the numbers of the devices.

    The archive gets a UUID of its own; its time of creation stays.
    """
    mark = uuid.uuid4().bytes
    output.write(_header(backup, mark))
    entries: list[tuple[int, int, int]] = []
    content: list[bytes] = []
    for number, path in disks.items():
        with path.open("rb") as file:
            at = 0
            while piece := file.read(CLUSTER):
                piece = piece.ljust(CLUSTER, b"\0")
                mask = 0
                if piece != _ZEROS:
                    for index in range(CLUSTER // _BLOCK):
                        block = piece[index * _BLOCK : (index + 1) * _BLOCK]
                        if any(block):
                            mask |= 1 << index
                            content.append(block)
                entries.append((mask, number, at))
                at += 1
                if len(entries) == _ENTRIES:
                    _write_extent(entries, content, mark, output)
    if entries:
        _write_extent(entries, content, mark, output)


def require_written(packed: Path, backup: Backup, disks: Mapping[int, Path]) -> None:
    """Raise UncloneError unless the backup *packed* has what *backup* says, and *disks*."""
    opened = {number: path.open("rb") for number, path in disks.items()}
    try:
        with packed.open("rb") as file:
            found = read_backup(file, packed)
            same = (found.created, found.configs, dict(found.devices)) == (
                backup.created,
                backup.configs,
                dict(backup.devices),
            )
            for number, at, content in clusters(file, found, packed):
                opened[number].seek(at)
                same = same and opened[number].read(CLUSTER).ljust(CLUSTER, b"\0") == content
    finally:
        for each in opened.values():
            each.close()
    if not same:
        raise UncloneError("the backup that was written does not have what was put into it")


def _content(file: BinaryIO, mask: int, path: Path) -> bytes:
    """The cluster whose blocks that are set in *mask* come next in *file*."""
    if not mask:
        return _ZEROS
    there = mask.bit_count() * _BLOCK
    read = file.read(there)
    if len(read) < there:
        _refuse(path, "it ends within an extent")
    if there == CLUSTER:
        return read
    cluster, at = bytearray(CLUSTER), 0
    for index in range(CLUSTER // _BLOCK):
        if mask >> index & 1:
            cluster[index * _BLOCK : (index + 1) * _BLOCK] = read[at : at + _BLOCK]
            at += _BLOCK
    return bytes(cluster)


def _header(backup: Backup, mark: bytes) -> bytes:
    blobs = bytearray(1)  # place 0 means that there is none

    def put(content: bytes) -> int:
        if len(content) > 0xFFFF:
            raise RefusedError("the configuration became longer than a backup can hold (64 KiB)")
        place = len(blobs)
        blobs.extend(len(content).to_bytes(2, "little") + content)
        return place

    places: tuple[list[int], list[int]] = ([], [])
    for name, content in backup.configs:
        places[0].append(put(name.encode("utf-8", "surrogateescape") + b"\0"))
        places[1].append(put(content))
    head = bytearray(_BLOBS_AT)
    for index, table in enumerate(places):
        struct.pack_into(f">{len(table)}I", head, _CONFIGS_AT + index * _CONFIGS * 4, *table)
    for number, device in backup.devices.items():
        place = put(device.name.encode("utf-8", "surrogateescape") + b"\0")
        _DEVICE.pack_into(head, _DEVICES_AT + number * _DEVICE.size, place, 0, device.size)
    head += blobs + bytes(-len(blobs) % 512)
    _START.pack_into(
        head, 0, _MAGIC, 1, mark, backup.created, bytes(16), _BLOBS_AT, len(blobs), len(head)
    )
    head[_MD5_AT] = _sum_without(head, _MD5_AT)
    return bytes(head)


def _write_extent(
    entries: list[tuple[int, int, int]], content: list[bytes], mark: bytes, output: BinaryIO
) -> None:
    """Write one extent, and empty both lists."""
    head = bytearray(_EXTENT_SIZE)
    _EXTENT.pack_into(head, 0, b"VMAE", len(content), mark, bytes(16))
    for index, entry in enumerate(entries):
        _ENTRY.pack_into(head, _EXTENT.size + index * _ENTRY.size, *entry)
    head[_EXTENT_MD5_AT] = _sum_without(head, _EXTENT_MD5_AT)
    output.write(head)
    output.writelines(content)
    entries.clear()
    content.clear()


def _sum_without(head: Sequence[int], place: slice) -> bytes:
    """The MD5 sum of *head*, in which *place*, where that stands, is zeros."""
    copy = bytearray(head)
    copy[place] = bytes(16)
    return hashlib.md5(copy, usedforsecurity=False).digest()


def _blob(blobs: bytes, place: int, path: Path) -> bytes:
    size = int.from_bytes(blobs[place : place + 2], "little")
    content = blobs[place + 2 : place + 2 + size]
    if len(content) != size or place + 2 > len(blobs):
        _refuse(path, "its header points behind its end")
    return content


def _name(blobs: bytes, place: int, path: Path) -> str:
    name = _blob(blobs, place, path)
    if not name.endswith(b"\0") or b"\0" in name[:-1]:
        _refuse(path, "a name in its header has no end")
    return name[:-1].decode("utf-8", "surrogateescape")


def _refuse(path: Path, what: str) -> NoReturn:
    raise RefusedError(
        f"{shown(path)} is not a sound Proxmox backup: {printable(what, 200)}",
        hint="Is it copied completely? `vma verify` on a Proxmox host checks it.",
    )
