"""Linux software RAID (MD): the UUID of the array is in the superblock of every member.

A write-intent bitmap repeats it. It is not set on arrays with other structures that depend on it (a
journal device, a partial parity log), or that several hosts share.

A running array keeps writing its superblocks, with the UUID it was assembled with: it has to be
stopped for the change.

References: Linux ``include/uapi/linux/raid/md_p.h`` (superblocks 0.90 and 1.x, features),
``drivers/md/md-bitmap.h`` (``bitmap_super_t``), ``drivers/md/md.c`` (``super_90_load``,
``super_1_load``, the checksums); mdadm 4.2 ``super0.c``, ``super1.c`` (``--update=uuid``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number, read_exactly
from unclone.images.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.blocks import Blocks

_MAGIC = struct.pack("<I", 0xA92B4EFC)
_BITMAP_MAGIC = b"bitm"
_BITMAP_UUID = 8
_SIZE = 4096

# Superblock 1.x: offsets and features.
_UUID_1, _BITMAP_OFFSET, _CHECKSUM_1, _MEMBERS = 16, 96, 216, 220
_HAS_BITMAP, _RESHAPES, _HAS_JOURNAL, _HAS_PPL = 0x1, 0x4, 0x200, 0x800 | 0x400
_CLUSTERED = 0x100
# Superblock 0.90: indices of the words of UUID, state and checksum; a flag in the state.
_UUID_0, _STATE_0, _CHECKSUM_0 = (5, 13, 14, 15), 33, 38
_BITMAP_PRESENT = 1 << 8
_RESHAPING_0 = 91  # the minor version during a reshape


# What else a member of a mirror says of itself.
_LEVEL, _USED, _COUNT, _DATA, _NUMBER, _EVENTS, _RESYNC = 72, 80, 92, 128, 160, 200, 208
_NO_RESYNC = (1 << 64) - 1


class Mirror(NamedTuple):
    """A member of a RAID1: where its data is, in bytes, and how it fits to the other members."""

    array: str
    role: int
    members: int
    start: int
    size: int
    events: int


class _Superblock(NamedTuple):
    start: int  # bytes
    raw: bytes
    old: bool  # version 0.90

    @property
    def uuid(self) -> bytes:
        """The UUID in the order in which it is spelled."""
        if self.old:
            return b"".join(struct.pack(">I", _word(self.raw, n)) for n in _UUID_0)
        return self.raw[_UUID_1 : _UUID_1 + 16]

    @property
    def bitmap(self) -> int:
        """The byte offset of the bitmap; 0 when there is none."""
        if self.old:
            return self.start + _SIZE if _word(self.raw, _STATE_0) & _BITMAP_PRESENT else 0
        if number(self.raw, 8, "<I") & _HAS_BITMAP:
            return self.start + 512 * number(self.raw, _BITMAP_OFFSET, "<i")
        return 0

    def with_uuid(self, value: bytes) -> bytes:
        """The superblock with the UUID *value* and a new checksum."""
        raw = bytearray(self.raw)
        if self.old:
            for place, word in zip(_UUID_0, struct.unpack(">4I", value), strict=True):
                struct.pack_into("<I", raw, 4 * place, word)
            struct.pack_into("<I", raw, 4 * _CHECKSUM_0, _checksum_0(raw))
        else:
            raw[_UUID_1 : _UUID_1 + 16] = value
            struct.pack_into("<I", raw, _CHECKSUM_1, _checksum_1(raw))
        return bytes(raw)


def read(blocks: Blocks) -> str:
    """The UUID of the array, as mdadm spells it; "" when there is none."""
    found = _superblock(blocks)
    if found is None:
        return ""
    digits = found.uuid.hex()
    return ":".join(digits[n : n + 8] for n in range(0, 32, 8))


def mirror(blocks: Blocks) -> Mirror | str:
    """The member of a RAID1 on *blocks*, which is in use and in sync; or why it is none."""
    found = _superblock(blocks)
    if found is None or found.old:
        return "its superblock is damaged, or older than version 1"
    raw = found.raw
    level, count = number(raw, _LEVEL, "<i"), number(raw, _COUNT, "<I")
    place = 256 + 2 * number(raw, _NUMBER, "<I")
    if level != 1:
        return f"its level is {level}, not 1"
    if number(raw, 8, "<I") & ~_HAS_BITMAP or number(raw, _RESYNC, "<Q") != _NO_RESYNC:
        return "it is not clean, or has a feature that only a kernel supports"
    role = number(raw, place, "<H") if place + 2 <= _length_1(raw) else count
    if role >= count:
        return "it is a spare, or has failed"
    start, size = (512 * number(raw, at, "<Q") for at in (_DATA, _USED))
    if not size or start + size > blocks.size:
        return "its data lies beyond its end"
    return Mirror(found.uuid.hex(), role, count, start, size, number(raw, _EVENTS, "<Q"))


def unsettable(blocks: Blocks) -> str:
    """Why the UUID has to stay; "" when it can be set."""
    found = _superblock(blocks)
    if found is None:
        return "there is no superblock of a RAID member on it that is known and undamaged"
    if found.old:
        reshapes = _word(found.raw, 2) == _RESHAPING_0
        return "it is being reshaped; finish that first" if reshapes else ""
    features = number(found.raw, 8, "<I")
    for mask, why in (
        (_HAS_JOURNAL, "it has a journal device, whose checksums start from the UUID"),
        (_HAS_PPL, "it has a partial parity log, whose checksums start from the UUID"),
        (_CLUSTERED, "it is shared by a cluster"),
        (_RESHAPES, "it is being reshaped; finish that first"),
    ):
        if features & mask:
            return why
    return ""


def write(blocks: Blocks, value: str) -> None:
    """Set the UUID on one member of an array that does not run. Raises EngineError."""
    found = _superblock(blocks)
    if found is None or unsettable(blocks):
        raise EngineError(unsettable(blocks))
    plain = bytes.fromhex(value.replace(":", ""))
    if found.bitmap and read_exactly(blocks, found.bitmap, 4) == _BITMAP_MAGIC:
        # The bitmap has the UUID in the byte order of the superblock.
        there = b"".join(struct.pack("<I", word) for word in struct.unpack(">4I", plain))
        blocks.write(found.bitmap + _BITMAP_UUID, there if found.old else plain)
    used = found.with_uuid(plain)
    blocks.write(found.start, used if found.old else used[: _length_1(used)])


def _superblock(blocks: Blocks) -> _Superblock | None:
    return next(_superblocks(blocks), None)


def _superblocks(blocks: Blocks) -> Iterator[_Superblock]:
    """The superblocks with a correct checksum, of versions 1.2, 1.1, 1.0, 0.90."""
    sectors = blocks.size // 512
    for start in (4096, 0, ((sectors - 16) & ~7) * 512):
        raw = read_exactly(blocks, start, _SIZE) if start >= 0 else b""
        if raw.startswith(_MAGIC) and number(raw, 4, "<I") == 1:
            fits = _length_1(raw) <= _SIZE and number(raw, 144, "<Q") * 512 == start
            if fits and number(raw, _CHECKSUM_1, "<I") == _checksum_1(raw):
                yield _Superblock(start, raw, old=False)
    start = (blocks.size & ~0xFFFF) - 0x10000
    raw = read_exactly(blocks, start, _SIZE) if start >= 0 else b""
    known = raw.startswith(_MAGIC) and (_word(raw, 1), _word(raw, 2)) in {(0, 90), (0, 91)}
    if known and _word(raw, _CHECKSUM_0) == _checksum_0(raw):
        yield _Superblock(start, raw, old=True)


def _length_1(raw: bytes | bytearray) -> int:
    return 256 + 2 * min(number(raw, _MEMBERS, "<I"), _SIZE)


def _checksum_1(raw: bytes | bytearray) -> int:
    length = _length_1(raw)
    body = bytearray(raw[:length])
    body[_CHECKSUM_1 : _CHECKSUM_1 + 4] = bytes(4)
    total: int = sum(struct.unpack_from(f"<{length // 4}I", body))
    if length % 4:
        total += number(body, length - 2, "<H")
    return ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF


def _checksum_0(raw: bytes | bytearray) -> int:
    body = bytearray(raw[:_SIZE])
    body[4 * _CHECKSUM_0 : 4 * _CHECKSUM_0 + 4] = bytes(4)
    total: int = sum(struct.unpack(f"<{_SIZE // 4}I", body))
    return ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF


def _word(raw: bytes | bytearray, index: int) -> int:
    return number(raw, 4 * index, "<I")
