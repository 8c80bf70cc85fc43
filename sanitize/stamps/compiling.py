"""Compile a stamp: compare two results of one run on one image, and explain what differs.

A difference is explained when it is a value of the machine in one of its spellings, or a checksum
over such values whose place and range a format gives. Anything else (a block that was allocated
elsewhere, a compressed text, a random key) is not, and there is no stamp then.

References: UEFI 2.10, 5.3 (GPT headers); Linux ``Documentation/filesystems/ext4/super.rst``;
RFC 1952 (gzip: CRC-32 of the content at the end).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol

from unclone.images.file_systems import ext_superblock
from unclone.sanitize.stamps.spelled import spelled
from unclone.sanitize.stamps.stamp import Checksum, Field, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_GPT_MAGIC, _GPT_GUID = b"EFI PART", 56
_GPT_CHECKSUM, _GPT_TABLE_CHECKSUM = 16, 88
_SECTOR = 512
#: A gzip header as ours are, and the header of a stored block (RFC 1951, 3.2.4).
_GZIP, _GZIP_HEADER, _STORED_HEADER = b"\x1f\x8b\x08\0", 10, 5


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
    checksums = [each for run in runs for each in _checksums(run, fields, pairs)]
    _require_explained(runs, fields, checksums, pairs)
    stamp = Stamp(
        size,
        cluster,
        {number: one for number, (one, _) in blocks.items()},
        {key: values[0][key] for key in pairs},
        tuple(fields),
        # Those of a table before that of the header which holds it.
        tuple(sorted(checksums, key=_covers_itself)),
    )
    for number, content in stamp.stamped({key: values[1][key] for key in pairs}).items():
        if content != blocks[number][1]:
            raise UnexplainedError(f"a checksum near byte {number * cluster} of the disk")
    return stamp


def _covers_itself(checksum: Checksum) -> bool:
    """Whether it is one of the bytes that it covers, and may cover another checksum there."""
    return checksum.start <= checksum.offset < checksum.start + checksum.length


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


def _checksums(
    run: _Run, fields: list[Field], pairs: Mapping[str, list[tuple[bytes, bytes]]]
) -> Iterator[Checksum]:
    for field in fields:
        at = field.offset - run.offset
        if not 0 <= at < len(run.first):
            continue
        length = len(pairs[field.key][field.number][0])
        if length == 16:  # a binary UUID
            yield from _superblock(run, at)
            yield from _gpt_header(run, at)
    yield from _gzip_members(run)


def _superblock(run: _Run, at: int) -> Iterator[Checksum]:
    start = at - ext_superblock.UUID_OFFSET
    raw = run.first[max(start, 0) : start + ext_superblock.SIZE]
    found = ext_superblock.parse(raw) if start >= 0 else None
    if found and found.s_feature_ro_compat & ext_superblock.RO_COMPAT_METADATA_CSUM:
        end = ext_superblock.CHECKSUM_OFFSET
        yield Checksum(run.offset + start + end, "crc32c", run.offset + start, end)


def _gpt_header(run: _Run, at: int) -> Iterator[Checksum]:
    start = at - _GPT_GUID
    raw = run.first[max(start, 0) : start + _SECTOR]
    if start < 0 or not raw.startswith(_GPT_MAGIC) or len(raw) < _SECTOR:
        return
    (size,) = struct.unpack_from("<I", raw, 12)
    table, count, entry = struct.unpack_from("<QII", raw, 72)
    offset = run.offset + start
    if _GPT_TABLE_CHECKSUM + 4 <= size <= _SECTOR:
        place = table * _SECTOR
        yield Checksum(offset + _GPT_TABLE_CHECKSUM, "crc32", place, count * entry)
        yield Checksum(offset + _GPT_CHECKSUM, "crc32", offset, size)


def _gzip_members(run: _Run) -> Iterator[Checksum]:
    """Members whose content is stored in one block: its text is there as it is."""
    at = run.first.find(_GZIP)
    while at >= 0:
        member = zlib.decompressobj(wbits=31)
        try:
            content = member.decompress(run.first[at:])
        except zlib.error:
            content = b""
        start = at + _GZIP_HEADER + _STORED_HEADER
        if member.eof and run.first[start : start + len(content)] == content:
            end = len(run.first) - len(member.unused_data) - 8
            if end == start + len(content):
                offset = run.offset + start
                yield Checksum(run.offset + end, "crc32", offset, len(content))
        at = run.first.find(_GZIP, at + 1)


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
