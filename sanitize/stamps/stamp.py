"""A stamp: the places on a disk in which machines made from one image differ.

A machine's disk is the prepared image with the clusters of the stamp on top, in which the fields
have the machine's values and the checksums follow.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from unclone.sanitize.stamps.crc import change
from unclone.sanitize.stamps.spelled import spelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: A value in one of its spellings; or a checksum: "" and its number.
_Source: TypeAlias = tuple[str, int]
#: What is covered of each source, its bytes from and to, and how many bytes follow.
_Covered: TypeAlias = tuple[tuple[_Source, int, int, int], ...]


class Field(NamedTuple):
    """Bytes that say who the machine is: the value *key* in its spelling *number*, at *offset*."""

    offset: int
    key: str
    number: int


class Checksum(NamedTuple):
    """Four bytes, little-endian, over *length* bytes from *start* on; itself counts as zeros."""

    offset: int
    algorithm: str
    start: int
    length: int


@dataclass(frozen=True)
class Stamp:
    """One disk. Offsets and sizes are bytes; *blocks* are clusters of *cluster* bytes by number.

    *values* are those in *blocks*. A checksum comes after those that it covers.
    """

    size: int
    cluster: int
    blocks: Mapping[int, bytes]
    values: Mapping[str, str]
    fields: tuple[Field, ...]
    checksums: tuple[Checksum, ...]

    def stamped(self, values: Mapping[str, str]) -> dict[int, bytes]:
        """The clusters of the machine with *values*, one for each key in :attr:`values`."""
        made: dict[int, bytes | bytearray] = dict(self.blocks)
        new: dict[_Source, bytes] = {}
        differences: dict[_Source, bytes] = {}
        for source, offsets in self._places.items():
            key, number = source
            old, new[source] = spelled(self.values[key])[number], spelled(values[key])[number]
            differences[source] = _xor(old, new[source])
            for offset in offsets:
                self._put(made, offset, new[source])
        known: dict[tuple[str, _Covered], int] = {}
        for number, (checksum, covered) in enumerate(self._covered):
            # The copies of a structure change in the same way.
            changed = known.get((checksum.algorithm, covered))
            if changed is None:
                changed = 0
                for source, start, end, following in covered:
                    part = differences[source][start:end]
                    changed ^= change(checksum.algorithm, following, part)
                known[checksum.algorithm, covered] = changed
            difference = changed.to_bytes(4, "little")
            differences["", number] = difference
            self._put(made, checksum.offset, _xor(self.read(checksum.offset, 4), difference))
        return {number: bytes(block) for number, block in made.items()}

    @cached_property
    def _places(self) -> Mapping[_Source, Sequence[int]]:
        """Where each value is in each of its spellings."""
        places: dict[_Source, list[int]] = {}
        for offset, key, number in self.fields:
            places.setdefault((key, number), []).append(offset)
        return places

    @cached_property
    def _covered(self) -> Sequence[tuple[Checksum, _Covered]]:
        """What each checksum covers: sources, and how many bytes of its range follow each."""
        sources: list[tuple[int, int, _Source]] = [
            (offset, len(spelled(self.values[key])[number]), (key, number))
            for offset, key, number in self.fields
        ]
        found = []
        for number, checksum in enumerate(self.checksums):
            end = checksum.start + checksum.length
            covered = tuple(
                (
                    source,
                    max(checksum.start - offset, 0),
                    min(end - offset, length),
                    max(end - offset - length, 0),
                )
                for offset, length, source in sources
                if checksum.start < offset + length and offset < end
            )
            found.append((checksum, covered))
            sources.append((checksum.offset, 4, ("", number)))
        return found

    def read(self, offset: int, count: int) -> bytes:
        """What :attr:`blocks` have at *offset*."""
        found = b""
        while len(found) < count:
            number, at = divmod(offset + len(found), self.cluster)
            found += self.blocks[number][at : at + count - len(found)]
        return found

    def _put(self, made: dict[int, bytes | bytearray], offset: int, new: bytes) -> None:
        while new:
            number, at = divmod(offset, self.cluster)
            block = made[number]
            if isinstance(block, bytes):
                block = made[number] = bytearray(block)
            piece = new[: self.cluster - at]
            block[at : at + len(piece)] = piece
            offset, new = offset + len(piece), new[len(piece) :]

    def to_json(self) -> dict[str, Any]:
        """For the file beside the prepared image."""
        packed = zlib.compress(b"".join(self.blocks[n] for n in sorted(self.blocks)))
        return {
            "size": self.size,
            "cluster": self.cluster,
            "clusters": sorted(self.blocks),
            "content": base64.b64encode(packed).decode(),
            "values": dict(self.values),
            "fields": [each._asdict() for each in self.fields],
            "checksums": [each._asdict() for each in self.checksums],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Stamp:
        """The inverse of :meth:`to_json`. Raises KeyError, TypeError or ValueError for others."""
        content = zlib.decompress(base64.b64decode(value["content"]))
        size = value["cluster"]
        numbers = value["clusters"]
        if len(content) != size * len(numbers):
            raise ValueError("the stamp is cut off")
        return cls(
            value["size"],
            size,
            {number: content[n * size : (n + 1) * size] for n, number in enumerate(numbers)},
            value["values"],
            tuple(Field(**each) for each in value["fields"]),
            tuple(Checksum(**each) for each in value["checksums"]),
        )


def _xor(old: bytes, new: bytes) -> bytes:
    return (int.from_bytes(old) ^ int.from_bytes(new)).to_bytes(len(old))
