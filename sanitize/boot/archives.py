"""The archives that an initrd is made of, and a record of them that needs no second unpacking.

Programs are left out of the record, as nothing is looked for in them: what remains is small enough
to be kept in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.sanitize.boot.compression import Compression

if TYPE_CHECKING:
    from unclone.sanitize.boot.cpio import Header

#: Bytes of contents that are kept of one initrd.
LIMIT = 48 * 1024 * 1024

_OPEN_ENDED = {Compression.NONE, Compression.LZ4_LEGACY}


class UnrecordedError(Exception):
    """Something is needed that was left out: the archives have to be unpacked again."""


class Segment(NamedTuple):
    """One archive of the initrd: bytes *offset* to *end*, padding not included.

    ``ours`` means that every member of it was written by ``overriding.py``.
    """

    offset: int
    end: int
    compression: Compression
    ours: bool = False


class Archive(NamedTuple):
    """One archive: *unpacked* bytes of members, each with as much of its content as was kept."""

    segment: Segment
    unpacked: int
    members: tuple[tuple[Header, bytes], ...]


class Recorder:
    """Keeps the members that a survey meets, until they are too many."""

    def __init__(self) -> None:
        self._archives: list[Archive] = []
        self._members: list[tuple[Header, bytes]] = []
        self._size = 0

    @property
    def archives(self) -> tuple[Archive, ...]:
        """What was met from the beginning of the initrd on; nothing when it was too much.

        Without those at the end whose own end is not marked: it depends on what follows.
        """
        kept = list(self._archives)
        while kept and kept[-1].segment.compression in _OPEN_ENDED:
            kept.pop()
        return tuple(kept)

    @property
    def size(self) -> int:
        """Bytes of contents that are kept."""
        return self._size if self._archives else 0

    def member(self, header: Header) -> None:
        """The next member; its content may follow."""
        if self._size <= LIMIT:
            self._members.append((header, b""))

    def content(self, content: bytes) -> None:
        """The content of the last member, or its first bytes where the rest does not matter."""
        self._size += len(content)
        if self._size > LIMIT:
            self.give_up()
        else:
            self._members[-1] = self._members[-1][0], content

    def archive(self, segment: Segment, unpacked: int) -> None:
        """The archive ends here."""
        if self._size <= LIMIT:
            self._archives.append(Archive(segment, unpacked, tuple(self._members)))
            self._members.clear()

    def give_up(self) -> None:
        """Keep nothing of this initrd."""
        self._size = LIMIT + 1
        self._archives.clear()
        self._members.clear()
