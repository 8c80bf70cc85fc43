"""Making a tar archive anew with other bytes in some members, and taking members out of one."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, BinaryIO

from unclone.images.archives.tar import (
    BLOCK,
    extended_without_size,
    header_with_size,
    padding,
    read_archive,
)
from unclone.images.errors import UncloneError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from unclone.images.archives.tar import Member

_CHUNK = 2**20
#: Zeros at the end of an archive that are kept: it is filled to a whole record. In bytes.
_TAIL = 2**16


def read_member(archive: Path, member: Member) -> bytes:
    """The bytes of *member*, which has to be small."""
    with archive.open("rb") as file:
        return b"".join(_pieces(file, member.data, member.size))


def digest(archive: Path, member: Member, algorithm: str) -> str:
    """The digest of *member* by *algorithm*, as hashlib calls it."""
    summed = hashlib.new(algorithm, usedforsecurity=False)
    with archive.open("rb") as file:
        for piece in _pieces(file, member.data, member.size):
            summed.update(piece)
    return summed.hexdigest()


def extract(archive: Path, member: Member, output: BinaryIO) -> None:
    """Write *member* to the empty file *output*, sparse."""
    with archive.open("rb") as file:
        for piece in _pieces(file, member.data, member.size):
            if piece.count(0) == len(piece):
                output.seek(len(piece), os.SEEK_CUR)
            else:
                output.write(piece)
    output.truncate(member.size)


def repack(
    archive: Path, members: Sequence[Member], replaced: Mapping[str, Path], output: BinaryIO
) -> None:
    """Write *members*, all or some of *archive*, to *output*: those in *replaced* as other files.

    Names, order, modes, owners and times stay.
    """
    with archive.open("rb") as file:
        for member in members:
            new = replaced.get(member.name)
            if new is None:
                length = member.data + member.size - member.start
                output.writelines(_pieces(file, member.start, length))
                output.write(padding(member.size))
                continue
            size = new.stat().st_size
            file.seek(member.start)
            extended = file.read(member.header - member.start)
            output.write(extended_without_size(extended))
            output.write(header_with_size(file.read(BLOCK), size))
            with new.open("rb") as content:
                output.writelines(_pieces(content, 0, size))
            output.write(padding(size))
        file.seek(max(member.end for member in members))
        tail = file.read(_TAIL)
    output.write(tail if tail and not any(tail) else bytes(2 * BLOCK))


def require_packed(
    packed: Path, path: Path, members: Sequence[Member], replaced: Mapping[str, Path]
) -> None:
    """Raise UncloneError unless *packed* has *members* in their order, *replaced* as they are."""
    found = read_archive(packed, path, folder=True)
    same = [each.name for each in found] == [each.name for each in members]
    for member, old in zip(found, members, strict=False):
        new = replaced.get(member.name)
        if new is None:
            same = same and member.size == old.size
            continue
        with new.open("rb") as file:
            wanted = hashlib.file_digest(file, "sha256").hexdigest()
        same = same and digest(packed, member, "sha256") == wanted
    if not same:
        raise UncloneError("the archive that was packed does not have what was put into it")


def _pieces(file: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    file.seek(start)
    while size:
        piece = file.read(min(size, _CHUNK))
        if not piece:
            raise UncloneError("the archive became shorter while it was read", hint="Try again.")
        size -= len(piece)
        yield piece
