"""What a container holds, as a device."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from unclone.images.errors import EngineError
from unclone.images.file_systems.table import recognise
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from unclone.images.blocks import OpenBlocks


class Member(Protocol):
    """A device that a container is on."""

    @property
    def name(self) -> str:
        """Its name in the engine session."""

    def open(self) -> OpenBlocks:
        """Open it; the caller closes it."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The content of a container: an :class:`unclone.images.blocks.BlockDevice`.

    ``mapper_uuid`` is as in :class:`unclone.images.volumes.FileSystem`, "" for an array.
    """

    name: str
    size: int  # bytes
    mapper_uuid: str = ""
    #: Where it is; empty for LUKS.
    pieces: Sequence[Piece] = ()
    #: Whether something below it is encrypted: nothing of it may be on a disk as it is.
    secret: bool = False
    opener: Callable[[], OpenBlocks] = field(kw_only=True, repr=False, compare=False)

    @property
    def type(self) -> str:
        """The type of its content, as blkid names it."""
        with closing(self.open()) as blocks:
            return recognise(blocks)

    def open(self) -> OpenBlocks:
        """Open it; the caller closes it."""
        return self.opener()


def with_name(name: str, why: str) -> str:
    """*why* what is called *name* cannot be opened, with that name."""
    return printable(why if name in why else f"{name}: {why}")


class Piece(NamedTuple):
    """*size* bytes from *start* of a volume, in chunks of *chunk* bytes on *places* in turn.

    A place is the name of a device and the byte offset there; a linear piece has one, and one
    chunk.
    """

    start: int
    size: int
    places: tuple[tuple[str, int], ...]
    chunk: int


class Mapped:
    """Blocks in *pieces*, which follow each other without a gap, of *members*."""

    def __init__(self, pieces: Sequence[Piece], members: Mapping[str, Member]) -> None:
        self._pieces = pieces
        self._starts = [piece.start for piece in pieces]
        self.size = pieces[-1].start + pieces[-1].size
        with ExitStack() as stack:
            names = {name for piece in pieces for name, _ in piece.places}
            self._blocks = {n: stack.enter_context(closing(members[n].open())) for n in names}
            self._stack = stack.pop_all()

    def read(self, offset: int, count: int) -> bytes:
        """*count* bytes at *offset*; fewer at the end."""
        found = []
        for device, at, size in self._parts(offset, min(count, self.size - offset)):
            found.append(self._blocks[device].read(at, size))
            if len(found[-1]) < size:
                raise EngineError(f"{device} ends before a volume that is on it")
        return b"".join(found)

    def write(self, offset: int, content: bytes) -> None:
        """Write all of *content* at *offset*."""
        if offset < 0 or offset + len(content) > self.size:
            raise EngineError("a write beyond the end of a volume was prevented")
        done = 0
        for device, at, size in self._parts(offset, len(content)):
            self._blocks[device].write(at, content[done : done + size])
            done += size

    def close(self) -> None:
        """Close the members."""
        self._stack.close()

    def _parts(self, offset: int, count: int) -> Iterator[tuple[str, int, int]]:
        """The device, and offset and size there, of each part of *count* bytes at *offset*."""
        if offset < 0:
            return
        index = bisect_right(self._starts, offset) - 1
        while count > 0:
            start, length, places, chunk = self._pieces[index]
            number, within = divmod(offset - start, chunk)
            device, first = places[number % len(places)]
            size = min(count, chunk - within, start + length - offset)
            yield device, first + number // len(places) * chunk + within, size
            offset, count = offset + size, count - size
            index += offset == start + length
