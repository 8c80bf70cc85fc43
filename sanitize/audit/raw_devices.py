"""Identities on a device without a file system: those of known formats, and what looks like one.

References: OpenZFS ``include/sys/fs/zfs.h`` (the configuration in a label is an XDR nvlist),
``module/nvpair/nvpair.c``; Linux ``include/uapi/linux/bcache.h`` of 5.15 (``struct cache_sb``);
Ceph ``src/os/bluestore/BlueStore.cc`` (the label begins with a line and a UUID).
"""

from __future__ import annotations

import re
import struct
import uuid
from typing import TYPE_CHECKING

from unclone.sanitize.audit import forms
from unclone.sanitize.audit.values import Found, bare_digits, digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: A value on a raw device has no name and no place that says what it is.
_SCORE = {"uuid": 55, "mac": 50, "hexadecimal": 45}
_PATTERNS = {"uuid": forms.UUID, "mac": forms.MAC, "hexadecimal": forms.HEXADECIMAL}
#: Values of one device: more are data.
_MOST = 50

_BCACHE_MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
_BCACHE = {"bcache-uuid": 0x1028, "bcache-set-uuid": 0x1038}
_CEPH = re.compile(rb"bluestore block device\n([0-9a-f-]{36})\n")
#: Names and types of an nvlist: one number of 64 bits.
_ZFS = {
    "zfs-pool-guid": b"\0\0\0\x09pool_guid\0\0\0\0\0\0\x08\0\0\0\x01",
    "zfs-vdev-guid": b"\0\0\0\x04guid\0\0\0\x08\0\0\0\x01",
    "zfs-host-id": b"\0\0\0\x06hostid\0\0\0\0\0\x08\0\0\0\x01",
}
#: Where the configuration of the first label is.
_ZFS_START, _ZFS_END = 16 * 1024, 128 * 1024


def of_raw_device(
    device: str, start: bytes, end: bytes, known: Collection[Found]
) -> Iterator[Found]:
    """What is in the first bytes of *device* and in the last. *known* values are not repeated."""
    told = {bare_digits(each.value.encode()) for each in known}
    for kind, name in _of_formats(start):
        told.add(bare_digits(name.encode()))
        yield Found(kind, name, device)
    found: dict[bytes, str] = {}
    for content in (start, end):
        for kind, pattern in _PATTERNS.items():
            for match in pattern.finditer(content):
                value = match[0].lower()
                if len(set(value)) > 5 and bare_digits(value) not in told:
                    found.setdefault(value, kind)
    if len(found) <= _MOST:
        for text, kind in found.items():
            # Others than addresses may be secrets.
            shown = text.decode() if kind == "mac" else digest(bare_digits(text))
            yield Found(kind, shown, device, score=_SCORE[kind])


def _of_formats(start: bytes) -> Iterator[tuple[str, str]]:
    if start[0x1018:0x1028] in {_BCACHE_MAGIC, _BCACHE_MAGIC[:-1] + b"\x82"}:
        for kind, offset in _BCACHE.items():
            if any(value := start[offset : offset + 16].ljust(16, b"\0")):
                yield kind, str(uuid.UUID(bytes=value))
    if ceph := _CEPH.match(start):
        yield "ceph-osd-uuid", ceph[1].decode()
    label = start[_ZFS_START:_ZFS_END]
    if _ZFS["zfs-pool-guid"] in label:
        for kind, name in _ZFS.items():
            before, _, after = label.partition(name)
            if before != label and len(after) >= 8 and any(after[:8]):
                yield kind, str(struct.unpack(">Q", after[:8])[0])
