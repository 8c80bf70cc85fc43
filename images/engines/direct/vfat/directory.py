"""FAT directories: short entries, the long names in front of them, and room for more of them.

References: Microsoft "FAT: General Overview of On-Disk Format" 1.03, pages 22 to 31; Linux
``fs/fat/namei_vfat.c`` (lower case flags, numeric tails).
"""

from __future__ import annotations

import errno
import re
import struct
import time
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from unclone.images import clock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from unclone.images.blocks import OpenBlocks
    from unclone.images.engines.direct.vfat.allocation import Allocation
    from unclone.images.file_systems.fat_boot_sector import BootSector


ENTRY = 32
#: Bytes; the specification's limit for a directory.
_DIRECTORY_LIMIT = 65536 * ENTRY
READ_ONLY, VOLUME_ID, DIRECTORY, ARCHIVE, LONG = 0x01, 0x08, 0x10, 0x20, 0x0F
FREE, END = 0xE5, 0x00
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_LAST = 0x40
#: Where an entry of a long name keeps its 13 UTF-16 characters.
_PIECES = (slice(1, 11), slice(14, 26), slice(28, 32))
_PER_ENTRY = 13
#: Characters that a short name can hold besides letters and digits.
_NOT_SHORT = re.compile(r"[^A-Z0-9!#$%&'()\-@^_`{}~]")
_FORBIDDEN = re.compile(r'[\x00-\x1f"*/:<>?\\|]')
_NAME_MAX = 255


class Entry(NamedTuple):
    """One file or directory. ``first`` and ``slot`` are the indices of its entries."""

    name: str
    short: str
    raw: bytes  # the short entry
    first: int
    slot: int

    @property
    def attributes(self) -> int:
        return self.raw[11]

    @property
    def is_directory(self) -> bool:
        return bool(self.attributes & DIRECTORY)

    @property
    def cluster(self) -> int:
        """The first cluster; 0 when it has none (or is the root, in ``..``)."""
        high, low = struct.unpack_from("<H4xH", self.raw, 20)
        return int(high) << 16 | int(low)

    @property
    def size(self) -> int:
        return int(struct.unpack_from("<I", self.raw, 28)[0])

    def is_called(self, name: str) -> bool:
        """Whether *name* means this entry: case does not matter, and the short name will do."""
        wanted = name.casefold()
        return wanted in {self.name.casefold(), self.short.casefold()}


class Directory:
    """The entries of one directory, as they are now."""

    def __init__(self, volume: OpenBlocks, boot: BootSector, fat: Allocation, first: int) -> None:
        self._volume, self._boot, self._fat = volume, boot, fat
        self.first = first
        self._clusters: list[int] = []
        if first:
            self._clusters = fat.chain(first)
            if len(self._clusters) * boot.cluster > max(_DIRECTORY_LIMIT, boot.cluster):
                raise OSError(errno.EIO, "the file system is damaged: a directory without end")
            self.raw = fat.read(self._clusters)
        else:
            self.raw = volume.read(boot.root_start, boot.root_size)
        self.entries: Sequence[Entry] = _entries(self.raw)

    @property
    def parent_cluster(self) -> int:
        """What ``..`` of a directory in this one says: 0 when this is the root."""
        return 0 if self.first == self._boot.root_cluster else self.first

    def find(self, name: str) -> Entry | None:
        name = name.rstrip(". ") or name
        return next((entry for entry in self.entries if entry.is_called(name)), None)

    def write(self, slot: int, made: bytes) -> None:
        """Write the entries *made* from *slot* on."""
        at = slot * ENTRY
        while made:
            if self._clusters:
                number, inside = divmod(at, self._boot.cluster)
                place = self._fat.offset(self._clusters[number]) + inside
                part = made[: self._boot.cluster - inside]
            else:
                place, part = self._boot.root_start + at, made
            self._volume.write(place, part)
            at, made = at + len(part), made[len(part) :]

    def add(self, made: bytes) -> None:
        """Write the entries *made* where there is room for them."""
        slot = self._room_for(len(made) // ENTRY)
        self.write(slot, made)
        after = slot * ENTRY + len(made)
        ended = any(self.raw[n * ENTRY] == END for n in range(slot, after // ENTRY))
        if ended and after < len(self.raw) and self.raw[after] != END:
            self.write(after // ENTRY, bytes(ENTRY))  # what was beyond the end stays there

    def _room_for(self, count: int) -> int:
        """The first of *count* free slots in a row; the directory grows when it has to."""
        free = 0
        slots = len(self.raw) // ENTRY
        ended = False
        for slot in range(slots):
            first = self.raw[slot * ENTRY]
            ended = ended or first == END
            free = free + 1 if ended or first == FREE else 0
            if free == count:
                return slot - count + 1
        if not self._clusters:
            raise OSError(errno.ENOSPC, "the root directory is full")
        if len(self.raw) + self._boot.cluster > _DIRECTORY_LIMIT:
            raise OSError(errno.ENOSPC, "the directory is full")
        added = self._fat.append(self._clusters[-1])
        self._fat.write(added, b"")
        self._clusters += added
        self.raw += bytes(self._boot.cluster)
        return self._room_for(count)


def entries(raw: bytes) -> Iterator[Entry]:
    """The entries of a directory with the bytes *raw*, ``.`` and ``..`` and labels left out."""
    pieces: list[bytes] = []
    for slot in range(len(raw) // ENTRY):
        entry = raw[slot * ENTRY : (slot + 1) * ENTRY]
        if entry[0] == END:
            return
        if entry[0] == FREE:
            pieces = []
        elif entry[11] & 0x3F == LONG:
            pieces = [entry, *pieces] if not entry[0] & _LAST else [entry]
        else:
            if not entry[11] & VOLUME_ID and entry[:11] not in {b".          ", b"..         "}:
                short = _short(entry)
                long = _long(pieces, entry)
                yield Entry(long or short, short, entry, slot - (len(pieces) if long else 0), slot)
            pieces = []


def make_entries(name: str, taken: Collection[str], raw: bytes) -> bytes:
    """The entries for a new *name*: *raw* is the short entry whose other fields it takes.

    *taken* are the short names in the directory, upper case. Raises ValueError when *name* cannot
    be a name.
    """
    name = name.rstrip(". ")
    if not name or len(name.encode("utf-16-le")) > 2 * _NAME_MAX or _FORBIDDEN.search(name):
        raise ValueError("not a name that FAT can hold")
    base, _, extension = name.rpartition(".") if "." in name.lstrip(".") else (name, "", "")
    plain = _packed(base, extension)
    if _spelled(plain) == name and name not in taken:
        return plain + raw[11:12] + b"\0" + raw[13:]
    usable = _spelled(plain) == name.upper() and name.upper() not in taken
    short = plain if usable else _unused(base, extension, taken)
    return _long_entries(name, short) + short + raw[11:12] + b"\0" + raw[13:]


def short_entry(attributes: int, cluster: int, size: int) -> bytes:
    """A short entry without its name."""
    raw = bytearray(ENTRY)
    raw[11] = attributes
    raw[14:18] = raw[22:26] = stamp()
    raw[16:18] = raw[18:20] = stamp()[2:]
    put_cluster(raw, cluster)
    struct.pack_into("<I", raw, 28, size)
    return bytes(raw)


def dot_entry(name: bytes, cluster: int) -> bytes:
    """The entry called *name* (``.`` or ``..``) of a directory at *cluster*."""
    return name.ljust(11) + short_entry(DIRECTORY, cluster, 0)[11:]


def put_cluster(raw: bytearray, cluster: int) -> None:
    """Set the first cluster in the short entry *raw*."""
    struct.pack_into("<H4xH", raw, 20, cluster >> 16, 0)
    struct.pack_into("<H", raw, 26, cluster & 0xFFFF)


def stamp() -> bytes:
    """The time now (UTC, as Linux keeps it without a time zone): two bytes time, two bytes date."""
    now = time.gmtime(clock.now_ns() // 10**9)
    hour = now.tm_hour << 11 | now.tm_min << 5 | now.tm_sec // 2
    day = max(now.tm_year - 1980, 0) << 9 | now.tm_mon << 5 | now.tm_mday
    return struct.pack("<HH", hour, day)


# -- names ---------------------------------------------------------------------------------
def _short(entry: bytes) -> str:
    base = (b"\xe5" + entry[1:8] if entry[0] == 0x05 else entry[:8]).decode("cp437").rstrip(" ")
    extension = entry[8:11].decode("cp437").rstrip(" ")
    if entry[12] & _LOWER_BASE:
        base = base.lower()
    if entry[12] & _LOWER_EXTENSION:
        extension = extension.lower()
    return f"{base}.{extension}" if extension else base


def _long(pieces: list[bytes], entry: bytes) -> str:
    """The long name in *pieces*, in order, if it belongs to the short *entry*."""
    checksum = _checksum(entry[:11])
    for number, piece in enumerate(pieces, 1):
        if piece[0] & ~_LAST != number or piece[13] != checksum:
            return ""
    raw = b"".join(piece[part] for piece in pieces for part in _PIECES)
    return raw.decode("utf-16-le", "replace").split("\0")[0]


def _checksum(short: bytes) -> int:
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def _packed(base: str, extension: str) -> bytes:
    return f"{_reduced(base, 8):8}{_reduced(extension, 3):3}".encode("ascii")


def _reduced(text: str, length: int) -> str:
    return _NOT_SHORT.sub("_", text.upper().replace(" ", "").replace(".", ""))[:length]


def _spelled(short: bytes) -> str:
    return _short(short + bytes(ENTRY - len(short)))


def _unused(base: str, extension: str, taken: Collection[str]) -> bytes:
    """A short name with a numeric tail that is not in *taken*."""
    number = 1
    while True:
        tail = f"~{number}"
        short = f"{_reduced(base, 8)[: 8 - len(tail)] + tail:8}{_reduced(extension, 3):3}"
        packed = short.encode("ascii")
        if _spelled(packed) not in taken:
            return packed
        number += 1


def _long_entries(name: str, short: bytes) -> bytes:
    checksum = _checksum(short)
    raw = name.encode("utf-16-le")
    if len(raw) % (2 * _PER_ENTRY):
        raw += b"\0\0"
        raw += b"\xff" * (-len(raw) % (2 * _PER_ENTRY))
    count = len(raw) // (2 * _PER_ENTRY)
    made = []
    for number in range(count, 0, -1):
        part = raw[(number - 1) * 26 : number * 26]
        order = number | (_LAST if number == count else 0)
        made.append(
            bytes([order])
            + part[:10]
            + bytes([LONG, 0, checksum])
            + part[10:22]
            + b"\0\0"
            + part[22:]
        )
    return b"".join(made)


@lru_cache(maxsize=16)  # one operation looks at the same directory several times
def _entries(raw: bytes) -> Sequence[Entry]:
    found = tuple(entries(raw))
    for entry in found:
        if "/" in entry.name or not entry.name or entry.name in {".", ".."}:
            raise OSError(errno.EIO, "the file system is damaged: a name with a slash")
    return found
