"""Where things are in an ISO 9660 image: descriptors, directory records, System Use entries.

Enough to walk an image that was just written here, and independent of who wrote it. Not for images
from elsewhere: nothing guards against records that lie.

References: ECMA-119 4th ed. 8.1 (descriptors), 9.1 (directory records); Joliet Specification,
Microsoft 1995 (UCS-2 names under the supplementary descriptor); IEEE P1281 draft 1.12 (SUSP: ``CE``
in 5.1); IEEE P1282 draft 1.12 4.1.4 (Rock Ridge ``NM``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTOR = 2048
PRIMARY, SUPPLEMENTARY, _TERMINATOR = 1, 2, 255

#: Offset in a descriptor of the record of the root directory, and of the volume id.
ROOT_RECORD = 156
VOLUME_ID = slice(40, 72)

_FIRST_DESCRIPTOR = 16  # in sectors: the system area comes before
_FLAGS, _NAME_LENGTH, _NAME = 25, 32, 33
_DIRECTORY = 0x02
#: Rock Ridge NM: the name begins after the flags.
_NM_NAME = 5


@dataclass(frozen=True, slots=True)
class Record:
    """One directory record in *image*, at offset ``at``."""

    image: bytes | bytearray
    at: int

    @property
    def is_directory(self) -> bool:
        """Whether it describes a directory."""
        return bool(self.image[self.at + _FLAGS] & _DIRECTORY)

    @property
    def extent(self) -> slice:
        """Where its content is in the image."""
        start = SECTOR * self._number(2)
        return slice(start, start + self._number(10))

    @property
    def joliet_name(self) -> str:
        """The name, in a tree under a supplementary descriptor."""
        raw = self.image[self.at + _NAME :][: self.image[self.at + _NAME_LENGTH]]
        return bytes(raw).decode("utf-16-be", "replace").removesuffix(";1")

    @property
    def rock_ridge_name(self) -> str:
        """The name, in a tree under the primary descriptor."""
        name = b""
        for start, end in self.system_use():
            for entry in entries(self.image, start, end):
                if self.image[entry : entry + 2] == b"NM":
                    name += self.image[entry + _NM_NAME : entry + self.image[entry + 2]]
        return name.decode("utf-8", "replace")

    def system_use(self) -> Iterator[tuple[int, int]]:
        """Where its System Use entries are: in the record itself, and where ``CE`` continues."""
        length = self.image[self.at + _NAME_LENGTH]
        start = self.at + _NAME + length + (1 - length % 2)
        areas = [(start, self.at + self.image[self.at])]
        while areas:
            start, end = areas.pop()
            yield start, end
            for entry in entries(self.image, start, end):
                if self.image[entry : entry + 2] == b"CE":
                    block, offset, size = (
                        int.from_bytes(self.image[entry + field : entry + field + 4], "little")
                        for field in (4, 12, 20)
                    )
                    areas.append((block * SECTOR + offset, block * SECTOR + offset + size))

    def _number(self, offset: int) -> int:
        return int.from_bytes(self.image[self.at + offset : self.at + offset + 4], "little")


def descriptors(image: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Type and offset of each volume descriptor that has a directory tree."""
    for at in range(_FIRST_DESCRIPTOR * SECTOR, len(image), SECTOR):
        if image[at + 1 : at + 6] != b"CD001" or image[at] == _TERMINATOR:
            return
        if image[at] in {PRIMARY, SUPPLEMENTARY}:
            yield image[at], at


def tree(image: bytes | bytearray, descriptor: int) -> Iterator[Record]:
    """The root's record in the descriptor at that offset, and every record in the tree below."""
    root = Record(image, descriptor + ROOT_RECORD)
    yield root
    pending, seen = [root], set()
    while pending:
        extent = pending.pop().extent
        if extent.start in seen:  # the records "." and ".." lead back
            continue
        seen.add(extent.start)
        at = extent.start
        while at < extent.stop:
            if not image[at]:  # a record never crosses a sector: the rest of this one is empty
                at += SECTOR - at % SECTOR
                continue
            record = Record(image, at)
            yield record
            if record.is_directory:
                pending.append(record)
            at += image[at]


def entries(image: bytes | bytearray, start: int, end: int) -> Iterator[int]:
    """Offsets of the System Use entries between *start* and *end*."""
    at = start
    while at + 4 <= end and image[at + 2] >= 4:
        yield at
        at += image[at + 2]
