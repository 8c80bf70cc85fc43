"""Identities on a device without a file system: those of known formats, and what looks like one.

References: OpenZFS ``include/sys/fs/zfs.h`` (the configuration in a label is an XDR nvlist),
``module/nvpair/nvpair.c``; Linux ``include/uapi/linux/bcache.h`` of 5.15 (``struct cache_sb``);
Ceph ``src/os/bluestore/BlueStore.cc`` (the label begins with a line and a UUID); util-linux
``libblkid/src/superblocks/{drbd,stratis,vdo}.c``; cryptsetup ``lib/integrity/integrity.h``
(``struct superblock``: dm-integrity has no UUID, but a random salt).
"""

from __future__ import annotations

import re
import struct
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.audit import forms
from unclone.sanitize.audit.values import Found, bare_digits, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: A value on a raw device has no name and no place that says what it is.
_SCORE = {"uuid": 55, "mac": 50, "hexadecimal": 45}
_PATTERNS = {"uuid": forms.UUID, "mac": forms.MAC, "hexadecimal": forms.HEXADECIMAL}
#: Values of one device: more are data.
_MOST = 50
#: Bytes at the end of a device in which DRBD's metadata begin.
DRBD_BYTES = 4096


class _Field(NamedTuple):
    """A value of a format with fixed offsets (in bytes), and how it is spelled."""

    kind: str
    magic_at: int
    magic: bytes
    at: int
    size: int
    spelled: Callable[[bytes], str]


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=value))


def _number(value: bytes) -> str:
    return f"{int.from_bytes(value, 'big'):x}"


def _text(value: bytes) -> str:
    return str(uuid.UUID(value.decode("ascii")))


_BCACHE = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d")
_STRATIS = b"!Stra0tis\x86\xff\x02^Arh"
_DRBD = 0x83740267
#: At the start of a device.
_FIELDS = (
    *(
        _Field(kind, 0x1018, _BCACHE + last, at, 16, _uuid)
        for kind, at in (("bcache-uuid", 0x1028), ("bcache-set-uuid", 0x1038))
        for last in (b"\x81", b"\x82")
    ),
    *(
        _Field(kind, copy + 4, _STRATIS, copy + at, 32, _text)
        for kind, at in (("stratis-pool-uuid", 32), ("stratis-device-uuid", 64))
        for copy in (0x200, 0x1200)
    ),
    _Field("vdo-uuid", 0, b"dmvdo001", 40, 16, _uuid),
    _Field("dm-integrity-salt", 0, b"integrt\0", 48, 16, digest),
)
#: In the last 4096 bytes: what DRBD keeps there leaves the rest of the device as it was.
_END_FIELDS = tuple(
    _Field("drbd-device-uuid", 60, (_DRBD + version).to_bytes(4, "big"), at, 8, _number)
    for version, at in ((4, 40), (5, 40), (6, 48))
)
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
    named = dict(_of_formats(start, end))
    yield from (Found(kind, name, device) for kind, name in named.items())
    parts = [bare_digits(name.encode()) for name in named.values()]
    found: dict[bytes, str] = {}
    for content in (start, end):
        for kind, pattern in _PATTERNS.items():
            for match in pattern.finditer(content):
                value = match[0].lower()
                bare = bare_digits(value)
                if len(set(value)) > 5 and bare not in told and not any(p in bare for p in parts):
                    found.setdefault(value, kind)
    if len(found) <= _MOST:
        for text, kind in found.items():
            # Others than addresses may be secrets.
            shown = text.decode() if kind == "mac" else digest(bare_digits(text))
            yield Found(kind, shown, device, score=_SCORE[kind])


def below_files(device: str, end: bytes) -> Iterator[Found]:
    """What the last bytes of *device* say of a layer below its file system."""
    return (Found(kind, name, device) for kind, name in _of_formats(b"", end))


def _of_formats(start: bytes, end: bytes) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for content, fields in ((start, _FIELDS), ((start + end)[-DRBD_BYTES:], _END_FIELDS)):
        for field in fields:
            value = content[field.at : field.at + field.size]
            if content.startswith(field.magic, field.magic_at) and any(value):
                with suppress(ValueError):  # cut off, or damaged
                    found.setdefault(field.kind, field.spelled(value))
    yield from found.items()
    if ceph := _CEPH.match(start):
        yield "ceph-osd-uuid", ceph[1].decode()
    label = start[_ZFS_START:_ZFS_END]
    if _ZFS["zfs-pool-guid"] in label:
        for kind, name in _ZFS.items():
            before, _, after = label.partition(name)
            if before != label and len(after) >= 8 and any(after[:8]):
                yield kind, str(struct.unpack(">Q", after[:8])[0])
