"""The "newc" cpio archive, as the kernel reads it from an initrd.

Reading is a stream: headers come one by one, contents in pieces, nothing is kept. What the
kernel accepts is accepted: archives one after the other with zeros between them, a missing
trailer, the checksum variant (070702; the sum is not checked, a kernel would only print it).

References: Linux Documentation/driver-api/early-userspace/buffer-format.rst; init/initramfs.c
(Linux 6.1: do_header, do_name, maybe_link); cpio(5) of libarchive, "New ASCII Format".
"""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGICS = (b"070701", b"070702")
TRAILER = b"TRAILER!!!"
HEADER_SIZE = 110
ALIGNMENT = 4

#: The kernel's PATH_MAX, ending NUL included; a longer name is not unpacked by it either.
NAME_LIMIT = 4096

_PIECE = 1024 * 1024
_FIELD = re.compile(rb"[0-9A-Fa-f]{8}")


class DamagedError(ValueError):
    """The bytes are not what they should be; the message says how, without naming a file."""


class Header(NamedTuple):
    """One member's header. ``name`` is as it stands in the archive (often with ``./``)."""

    name: bytes
    mode: int
    ino: int = 0
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    mtime: int = 0
    size: int = 0
    devmajor: int = 0
    devminor: int = 0
    rdevmajor: int = 0
    rdevminor: int = 0
    #: Means nothing in a 070701 archive: neither the kernel nor any cpio reads it there.
    check: int = 0

    @property
    def is_trailer(self) -> bool:
        return self.name == TRAILER

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Pieces:
    """A stream of byte strings, read in other sizes than it comes in; nothing is copied twice."""

    def __init__(self, source: Iterable[bytes | memoryview]) -> None:
        self._source = iter(source)
        self._current = memoryview(b"")
        self.position = 0

    def take(self, count: int) -> bytes:
        """The next *count* bytes. Raises ``DamagedError`` when the stream ends before."""
        return b"".join(self.pass_on(count))

    def pass_on(self, count: int) -> Iterator[memoryview]:
        """The next *count* bytes in the pieces they come in."""
        while count:
            if not self._current and not self._refill():
                raise DamagedError("the archive ends in the middle of a member")
            size = min(count, _PIECE)
            piece, self._current = self._current[:size], self._current[size:]
            count -= len(piece)
            self.position += len(piece)
            yield piece

    def skip_zeros(self) -> bool:
        """Go to the next byte that is not zero. False when there is none."""
        while self._current or self._refill():
            # Padding is short: a few bytes, in rare cases the rest of a sector.
            window = bytes(self._current[:4096])
            zeros = len(window) - len(window.lstrip(b"\0"))
            self._current = self._current[zeros:]
            self.position += zeros
            if zeros < len(window):
                return True
        return False

    def peek(self) -> int:
        """The next byte; there must be one (``skip_zeros`` said so)."""
        return self._current[0]

    def _refill(self) -> bool:
        for piece in self._source:
            self._current = memoryview(piece)
            if self._current:
                return True
        return False


class Reader:
    """The members of one stream, in order, trailers included.

    ``contents`` of a member can be read until the next one is asked for; what was not read by
    then is skipped.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._unread: Iterator[memoryview] = iter(())

    def next(self) -> Header | None:
        """The next header; None at the end, or where something else than a member begins.

        Raises ``DamagedError`` for a header that is truncated or invalid.
        """
        self.skip()
        if not self._pieces.skip_zeros():
            return None
        if self._pieces.peek() != MAGICS[0][0] or self._pieces.position % ALIGNMENT:
            return None
        header = self._header(self._pieces.take(HEADER_SIZE))
        self._unread = self._contents(header.size)
        return header

    def contents(self) -> Iterator[memoryview]:
        """The contents of the member whose header came last, in pieces."""
        unread, self._unread = self._unread, iter(())
        yield from unread

    def skip(self) -> None:
        """Leave the current member and its padding behind."""
        for _ in self._unread:
            pass

    def _header(self, raw: bytes) -> Header:
        if raw[:6] not in MAGICS:
            raise DamagedError("a member does not begin with the magic of a cpio archive")
        numbers = []
        for at in range(6, HEADER_SIZE, 8):
            field = raw[at : at + 8]
            if not _FIELD.fullmatch(field):
                raise DamagedError("the header of a member is not hexadecimal")
            numbers.append(int(field, 16))
        ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, length, check = (
            numbers
        )
        if not 0 < length <= NAME_LIMIT:
            raise DamagedError(f"the name of a member takes {length} bytes")
        name = self._pieces.take(length)
        if name[-1]:
            raise DamagedError("the name of a member is not terminated")
        self._align()
        return Header(
            name=name.split(b"\0", 1)[0],
            mode=mode, ino=ino, uid=uid, gid=gid, nlink=nlink, mtime=mtime, size=size,
            devmajor=major, devminor=minor, rdevmajor=rmajor, rdevminor=rminor, check=check,
        )  # fmt: skip

    def _contents(self, size: int) -> Iterator[memoryview]:
        yield from self._pieces.pass_on(size)
        self._align(at_end=True)

    def _align(self, *, at_end: bool = False) -> None:
        padding = -self._pieces.position % ALIGNMENT
        try:
            self._pieces.take(padding)
        except DamagedError:
            if not at_end:  # the padding after the very last member may be missing
                raise


def member(header: Header, contents: bytes = b"") -> bytes:
    """One member of a 070701 archive; sizes follow from *contents* and the name."""
    header = header._replace(size=len(contents))
    name = header.name + b"\0"
    if len(name) > NAME_LIMIT:
        raise DamagedError(f"the name of a member takes {len(name)} bytes")
    numbers = [
        header.ino, header.mode, header.uid, header.gid, header.nlink, header.mtime, header.size,
        header.devmajor, header.devminor, header.rdevmajor, header.rdevminor, len(name),
        header.check,
    ]  # fmt: skip
    head = MAGICS[0] + b"".join(b"%08X" % number for number in numbers) + name
    return head + _zeros(head) + contents + _zeros(contents)


def normal(name: bytes) -> str:
    """The path a member's name means: ``./etc//fstab``, ``/etc/fstab`` are ``etc/fstab``."""
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    return b"/".join(parts).decode("utf-8", "surrogateescape")


def next_nonzero(data: memoryview, start: int) -> int | None:
    """Where the next byte after the padding at *start* is; None when there is none."""
    pieces = Pieces([data[start:]])
    return start + pieces.position if pieces.skip_zeros() else None


def trailer(check: int = 0) -> bytes:
    """The member that ends an archive."""
    return member(Header(TRAILER, mode=0, check=check))


def _zeros(before: bytes) -> bytes:
    return bytes(-len(before) % ALIGNMENT)
