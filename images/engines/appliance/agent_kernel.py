"""Requests to the kernel of the virtual machine: mounts, and the trees of a btrfs.

References: mount(2), umount2(2), Linux ``include/uapi/linux/btrfs.h`` and ``btrfs_tree.h``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
BTRFS_SCAN, BTRFS_FORGET, BTRFS_SYNC, BTRFS_DESTROY = 0x50009404, 0x50009405, 0x9408, 0x5000940F
_BTRFS_SEARCH, _BTRFS_LOOKUP = 0xD0009411, 0xD0009412
ROOT_ITEM, _ROOT_BACKREF, _DIR_ITEM = 132, 144, 84
_FS_TREE, _FIRST_FREE, _LAST_FREE, _LAST = 5, 256, (1 << 64) - 256, (1 << 64) - 1
#: Seconds until a disk that was found has its node.
_NODE_LIMIT = 20.0


class FailedError(Exception):
    """Something failed, with a reason that no error number has."""


def node_of(disk: int) -> str:
    """The node of the disk with the SCSI id *disk*."""
    until = time.monotonic() + _NODE_LIMIT
    for host in os.listdir("/sys/class/scsi_host"):
        folder = f"/sys/class/scsi_device/{host.removeprefix('host')}:0:{disk}:0/device/block"
        if not os.path.isdir(folder):
            with open(f"/sys/class/scsi_host/{host}/scan", "w", encoding="utf-8") as scan:
                scan.write(f"0 {disk} 0")
        while time.monotonic() < until:
            names = os.listdir(folder) if os.path.isdir(folder) else []
            if names and _can_be_opened(f"/dev/{names[0]}"):
                return f"/dev/{names[0]}"
            time.sleep(0.005)
    raise FailedError(f"the disk {disk} did not appear")


def _can_be_opened(node: str) -> bool:
    """Whether the disk is complete: its node is there for a moment before that."""
    try:
        os.close(os.open(node, os.O_RDONLY))
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENXIO}:
            return False
        raise
    return True


def call(function: Any, *arguments: Any) -> None:
    if function(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def ioctl(file: int, request: int, argument: bytes) -> bytes:
    """What *argument* is after the request: the module takes 1,024 bytes unless it is mutable."""
    answer = bytearray(argument)
    fcntl.ioctl(file, request, answer, True)  # noqa: FBT003 (has no name)
    return bytes(answer)


def mount_at(node: str, top: bytes, kind: str, flags: int, data: bytes) -> None:
    call(LIBC.mount, node.encode(), top, kind.encode(), ctypes.c_ulong(flags), data)


def btrfs(node: str, request: int) -> None:
    control = os.open("/dev/btrfs-control", os.O_RDWR)
    try:
        ioctl(control, request, struct.pack("<q4088s", 0, node.encode()))
    except OSError as error:
        if request != BTRFS_FORGET or error.errno != errno.ENOENT:
            raise
    finally:
        os.close(control)


def tree_items(top: int, kind: int) -> Iterator[tuple[int, int, bytes]]:
    """Object, offset and content of all items of *kind* in the tree of roots."""
    first, type_, offset = 0, kind, 0  # together they are one key: it only grows
    while True:
        key = struct.pack("<7Q4I32x", 1, first, _LAST, offset, _LAST, 0, _LAST, type_, kind, 64, 0)
        answer = ioctl(top, _BTRFS_SEARCH, key.ljust(4096, b"\0"))
        (count,) = struct.unpack_from("<I", answer, 64)
        at = 104
        for _ in range(count):
            _, first, offset, type_, size = struct.unpack_from("<3Q2I", answer, at)
            at += 32
            if type_ == kind:
                yield first, offset, answer[at : at + size]
            at += size
        if not count:
            return
        if offset < _LAST:
            offset += 1
        else:
            first, type_, offset = first + 1, kind, 0


def subvolumes(top: int) -> list[tuple[bytes, bytes, bytes, int]]:
    parents: dict[int, tuple[int, int, bytes]] = {}
    for number, parent, raw in tree_items(top, _ROOT_BACKREF):
        folder, _, size = struct.unpack_from("<QQH", raw)
        parents[number] = parent, folder, raw[18 : 18 + size]
    found = []
    for number, _, raw in tree_items(top, ROOT_ITEM):
        if not _FIRST_FREE <= number <= _LAST_FREE or number not in parents:
            continue
        found.append((_path(top, number, parents), raw[247:263], raw[263:279], number))
    return found


def _path(top: int, number: int, parents: dict[int, tuple[int, int, bytes]]) -> bytes:
    parts: list[bytes] = []
    seen = set()
    while number in parents and number not in seen:
        seen.add(number)
        parent, folder, name = parents[number]
        answer = ioctl(top, _BTRFS_LOOKUP, struct.pack("<QQ4080s", parent, folder, b""))
        parts.insert(0, answer[16:].split(b"\0")[0] + name)  # the first ends with a slash, or is ""
        number = parent
    return b"/".join(parts)


def default_subvolume(top: int) -> int:
    for folder, _, raw in tree_items(top, _DIR_ITEM):
        number, _, _, _, _, size = struct.unpack_from("<QBQQHH", raw)
        if folder == 6 and raw[30 : 30 + size] == b"default":
            return int(number)
    return _FS_TREE
