"""Compile a stamp: compare two results of one run on one image, and explain what differs.

A difference is explained when it is a value of the machine in one of its spellings, or a checksum
over such values whose place and range a format gives. Anything else (a block that was allocated
elsewhere, a compressed text, a random key) is not, and there is no stamp then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from unclone.sanitize.stamps.checksums import SECTOR, checksums_in, sector_checksum
from unclone.sanitize.stamps.spelled import spelled
from unclone.sanitize.stamps.stamp import Checksum, Field, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Reader(Protocol):
    """A disk at rest."""

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*."""


class UnexplainedError(Exception):
    """Two results differ in something that is not known; says where."""


class _Run(NamedTuple):
    """Clusters in a row: their place, and what both results have there."""

    offset: int
    first: bytes
    second: bytes


def compiled(
    before: Reader,
    first: Reader,
    second: Reader,
    changed: Iterable[tuple[int, int]],
    *,
    size: int,
    cluster: int,
    values: tuple[Mapping[str, str], Mapping[str, str]],
) -> Stamp:
    """The stamp of a disk of *size* bytes: *before*, and *first* and *second* with their *values*.

    *changed* are the (start, length) in which the two may differ from *before*. Raises
    UnexplainedError.
    """
    blocks = _changed_blocks(before, first, second, changed, size, cluster)
    runs = list(_runs(blocks, cluster))
    pairs = {
        key: list(zip(spelled(value), spelled(values[1][key]), strict=True))
        for key, value in values[0].items()
        if value != values[1][key]
    }
    fields = [field for run in runs for field in _fields(run, pairs)]
    checksums = _checksums(runs, [(f.offset, len(pairs[f.key][f.number][0])) for f in fields])
    _require_explained(runs, fields, checksums, pairs)
    stamp = Stamp(
        size,
        cluster,
        {number: one for number, (one, _) in blocks.items()},
        {key: values[0][key] for key in pairs},
        tuple(fields),
        tuple(checksums),
    )
    for number, content in stamp.stamped({key: values[1][key] for key in pairs}).items():
        if content != blocks[number][1]:
            raise UnexplainedError(f"a checksum near byte {number * cluster} of the disk")
    return stamp


def _changed_blocks(
    before: Reader,
    first: Reader,
    second: Reader,
    changed: Iterable[tuple[int, int]],
    size: int,
    cluster: int,
) -> dict[int, tuple[bytes, bytes]]:
    numbers = {
        number
        for start, length in changed
        for number in range(start // cluster, -(-min(start + length, size) // cluster))
    }
    blocks = {}
    for number in sorted(numbers):
        offset = number * cluster
        count = min(cluster, size - offset)
        one, two = first.read(offset, count), second.read(offset, count)
        if one != two or one != before.read(offset, count):
            blocks[number] = (one.ljust(cluster, b"\0"), two.ljust(cluster, b"\0"))
    return blocks


def _runs(blocks: Mapping[int, tuple[bytes, bytes]], cluster: int) -> Iterator[_Run]:
    numbers = sorted(blocks)
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            row = numbers[start:at]
            yield _Run(
                row[0] * cluster,
                b"".join(blocks[number][0] for number in row),
                b"".join(blocks[number][1] for number in row),
            )
            start = at


def _fields(run: _Run, pairs: Mapping[str, list[tuple[bytes, bytes]]]) -> Iterator[Field]:
    """Every value in *run* that is the first's in one result, and the second's in the other."""
    found: dict[int, tuple[int, Field]] = {}
    for key, spellings in pairs.items():
        for number, (one, two) in enumerate(spellings):
            at = run.first.find(one) if one != two else -1
            while at >= 0:
                if run.second.startswith(two, at) and found.get(at, (0,))[0] < len(one):
                    found[at] = (len(one), Field(run.offset + at, key, number))
                at = run.first.find(one, at + 1)
    end = 0
    for at, (length, field) in sorted(found.items()):
        if at >= end:  # else a part of a longer spelling
            yield field
            end = at + length


def _checksums(runs: list[_Run], values: list[tuple[int, int]]) -> list[Checksum]:
    """The checksums over *values*, each its place on the disk and length; inner ones first."""
    found = {each.offset: each for each in _of_sectors(runs, values)}
    covered = [*values, *((offset, 4) for offset in found)]
    for run in runs:
        places = [
            (at - run.offset, n) for at, n in covered if 0 <= at - run.offset < len(run.first)
        ]
        found |= {each.offset: each for each in checksums_in(run.first, run.offset, places)}
    return sorted(found.values(), key=lambda each: _depth(each, found))


def _of_sectors(runs: list[_Run], values: list[tuple[int, int]]) -> Iterator[Checksum]:
    """Checksums of sectors of files, which are elsewhere: those that both results have there."""
    for run in runs:
        inside = [at - run.offset for at, _ in values if 0 <= at - run.offset < len(run.first)]
        for start in sorted({at - at % SECTOR for at in inside}):
            one, two = (sector_checksum(raw[start : start + SECTOR]) for raw in run[1:])
            for other in runs:
                at = other.first.find(one)
                while at >= 0:
                    if other.second.startswith(two, at) and one != two:
                        yield Checksum(other.offset + at, "crc32c", run.offset + start, SECTOR)
                    at = other.first.find(one, at + 1)


def _depth(checksum: Checksum, others: Mapping[int, Checksum]) -> int:
    """How many checksums are within what *checksum* covers, each in the next."""
    inner = [
        other
        for other in others.values()
        if other.offset != checksum.offset
        and checksum.start <= other.offset < checksum.start + checksum.length
    ]
    return 1 + max((_depth(other, others) for other in inner), default=0)


def _require_explained(
    runs: list[_Run],
    fields: list[Field],
    checksums: list[Checksum],
    pairs: Mapping[str, list[tuple[bytes, bytes]]],
) -> None:
    places = [(each.offset, len(pairs[each.key][each.number][0])) for each in fields]
    places += [(each.offset, 4) for each in checksums]
    for run in runs:
        left = bytearray(a ^ b for a, b in zip(run.first, run.second, strict=True))
        for offset, length in places:
            at = offset - run.offset
            if 0 <= at < len(left):
                left[at : at + length] = bytes(length)
        if any(left):
            at = next(n for n, byte in enumerate(left) if byte)
            raise UnexplainedError(f"byte {run.offset + at} of the disk")
