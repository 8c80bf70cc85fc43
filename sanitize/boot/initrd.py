"""What an initrd holds: its segments, its members as the kernel would see them, and identifiers.

An initrd is any number of cpio archives one after the other, each plain or compressed by itself,
with zeros between them: microcode first, then the main archive, then whatever was appended. Later
members override earlier ones of the same name. :func:`survey` reads one in a single pass and says
where, programs aside, given byte strings occur; nothing but what it found is kept. How to correct
what it found is in ``overriding.py``.

References: Linux Documentation/driver-api/early-userspace/buffer-format.rst; init/initramfs.c
(Linux 6.1: unpack_to_rootfs, flush_buffer, do_name, clean_path, maybe_link);
Documentation/admin-guide/bootconfig.rst ("Boot Config With an initrd").
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.needles import Needles
from unclone.sanitize.boot import cpio
from unclone.sanitize.boot.archives import Recorder, Segment, UnrecordedError
from unclone.sanitize.boot.budget import Budget, Resource
from unclone.sanitize.boot.compression import OUTPUT_LIMIT, Compression, Stream, detect
from unclone.sanitize.boot.cpio import DamagedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from unclone.sanitize.boot.archives import Archive

#: Stands in a header field that nothing reads ("uncl"), in every member of an archive of ours.
OUR_MARK = 0x756E636C

#: Contents up to this size are kept when they have to be corrected; larger ones are only searched.
KEPT_LIMIT = 64 * 1024 * 1024

#: The kernel's other appendix, "boot config", is a text behind all archives. It has no name.
BOOTCONFIG = "(bootconfig)"

#: Programs, libraries and modules are most of an initrd. They come from packages and are the same
#: on every machine, so nothing is looked for in them.
_PROGRAM = b"\x7fELF"

#: What drivers hand to devices is the same on every machine, too. Some of it is large.
_FIRMWARE = ("lib/firmware/", "usr/lib/firmware/", "kernel/x86/microcode/")

_KEPT_TOTAL_LIMIT = 256 * 1024 * 1024
_MEMBER_LIMIT = 100_000
#: Members between two looks at the clock.
_TICK = 256
_SEGMENT_LIMIT = 1000
_BOOTCONFIG_MAGIC = b"#BOOTCONFIG\n"


class Place(StrEnum):
    """Where in a member something was found."""

    NAME = "name"
    CONTENT = "content"
    TARGET = "symlink target"


class Hit(NamedTuple):
    """*needle* occurs in the member *path*.

    ``harmless`` when nothing can read a reference there: the name of a directory, or of a file
    that an earlier correction has emptied.
    """

    path: str
    place: Place
    needle: bytes
    harmless: bool = False


class Member(NamedTuple):
    """One name in the unpacked initrd, after all overriding."""

    header: cpio.Header
    segment: int  # index of the segment it comes from
    shared: bool = False  # another name leads to the same file (hard link)


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over an initrd found.

    ``contents`` holds what the members with hits (and those asked for) contain, symlinks their
    target; a member larger than ``KEPT_LIMIT`` is missing from it. ``unreadable`` says, if it is
    not empty, why reading stopped at ``end`` although more would be unpacked at boot: then
    nothing may be concluded from what was not found.
    """

    size: int
    segments: tuple[Segment, ...]
    members: Mapping[str, Member]
    hits: tuple[Hit, ...]
    contents: Mapping[str, bytes]
    end: int
    unreadable: str
    #: Names that exist without the last archive, if that is one of ours.
    base_names: frozenset[str]

    @property
    def compressions(self) -> tuple[Compression, ...]:
        return tuple(segment.compression for segment in self.segments)


def survey(
    data: bytes | memoryview,
    needles: Collection[bytes] = (),
    *,
    read: Collection[str] = (),
    known: Sequence[Archive] = (),
    recorder: Recorder | None = None,
    budget: Budget | None = None,
) -> Survey:
    """Read the initrd *data* once: its members, and where any of *needles* occurs.

    *read* names members (``etc/fstab``) whose contents are wanted in any case. *known* are the
    archives that *data* begins with, from an earlier *recorder*. Never raises for what is in
    *data*: damage, and the end of the *budget*, end the reading and are described in
    ``unreadable``.
    """
    wanted = memoryview(data), tuple(needles), frozenset(read), budget or Budget()
    try:
        return _Surveyor(*wanted, recorder or Recorder()).survey(known)
    except UnrecordedError:
        return _Surveyor(*wanted, Recorder()).survey()


# -- helpers -------------------------------------------------------------------------------
@dataclass(slots=True, eq=False)
class _Inode:
    """What one or several names lead to."""

    header: cpio.Header
    needles: tuple[bytes, ...] = ()
    content: bytes | None = None
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Name:
    header: cpio.Header
    segment: int
    inode: _Inode


class _Surveyor:
    """The state of one pass: the file tree the kernel would have unpacked so far."""

    def __init__(
        self,
        data: memoryview,
        needles: tuple[bytes, ...],
        read: frozenset[str],
        budget: Budget,
        recorder: Recorder,
    ) -> None:
        self._data = data
        self._budget = budget
        self._recorder = recorder
        self._needles = needles
        self._wanted = Needles(needles)
        self._read = read
        self._segments: list[Segment] = []
        self._names: dict[str, _Name] = {}
        self._current: set[str] = set()
        self._base_names: set[str] = set()
        self._pending: set[str] = set()
        self._links: dict[tuple[int, int, int, int], _Inode] = {}
        self._unpacked = 0
        self._kept = 0
        self._count = 0
        self._end = 0

    def survey(self, known: Sequence[Archive] = ()) -> Survey:
        unreadable = ""
        self._budget.start()
        try:
            for archive in known:
                self._again(archive)
            self._segments_in_turn()
        except DamagedError as error:
            unreadable = str(error)
        hits = [*self._hits(), *self._bootconfig_hits()]
        return Survey(
            size=len(self._data),
            segments=tuple(self._segments),
            members={
                path: Member(name.header, name.segment, len(name.inode.names) > 1)
                for path, name in self._names.items()
            },
            hits=tuple(hits),
            contents={
                path: name.inode.content
                for path, name in self._names.items()
                if name.inode.content is not None and self._is_wanted(path, name.header, name.inode)
            },
            end=self._end,
            unreadable=unreadable,
            base_names=frozenset(self._base_names),
        )

    def _again(self, archive: Archive) -> None:
        """One archive, as it was recorded."""
        for header, content in archive.members:
            self._member(header, iter([memoryview(content)]))
        self._unpacked += archive.unpacked
        self._close(archive.segment, archive.unpacked)

    def _segments_in_turn(self) -> None:
        while (offset := cpio.next_nonzero(self._data, self._end)) is not None:
            compression = detect(self._data, offset)
            misaligned = compression is Compression.NONE and offset % cpio.ALIGNMENT
            if compression is None or misaligned:
                if not self._segments:
                    raise DamagedError("it does not begin with an archive the kernel could unpack")
                return  # trailing bytes: the kernel complains about them and boots
            if len(self._segments) == _SEGMENT_LIMIT:
                raise DamagedError(f"it has more than {_SEGMENT_LIMIT} archives")
            if compression is Compression.NONE:
                self._plain(offset)
            else:
                self._compressed(offset, compression)

    def _plain(self, offset: int) -> None:
        """One plain archive, up to its trailer, or to where no further member begins."""
        pieces = cpio.Pieces([self._data[offset:]])
        reader = cpio.Reader(pieces)
        ours = True
        while header := reader.next():
            ours = ours and _is_ours(header)
            self._member(header, reader.contents())
            if header.is_trailer:
                reader.skip()
                break
        self._close(Segment(offset, offset + pieces.position, Compression.NONE, ours), 0)

    def _compressed(self, offset: int, compression: Compression) -> None:
        if compression is Compression.LZO:
            raise DamagedError("it is compressed with lzo, which is not supported")
        limit = OUTPUT_LIMIT - self._unpacked
        stream = Stream(self._data, offset, compression, limit=limit)
        pieces = cpio.Pieces(self._paid(stream.pieces()))
        reader = cpio.Reader(pieces)
        header = reader.next()
        ours = header is not None
        while header is not None:
            ours = ours and _is_ours(header)
            self._member(header, reader.contents())
            header = reader.next()
        if pieces.skip_zeros():
            raise DamagedError(f"the {compression} part is not a cpio archive to its end")
        self._unpacked += pieces.position
        self._close(Segment(offset, stream.end, compression, ours), pieces.position)

    def _paid(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._budget.spend(Resource.BYTES, len(piece))
            self._budget.tick()
            yield piece

    def _close(self, segment: Segment, unpacked: int) -> None:
        self._recorder.archive(segment, unpacked)
        self._segments.append(segment)
        self._end = segment.end
        names, self._current = self._current, set()
        # One of ours is the base of what follows it, if anything does.
        self._base_names |= self._pending | (set() if segment.ours else names)
        self._pending = names if segment.ours else set()

    def _member(self, header: cpio.Header, pieces: Iterator[memoryview]) -> None:
        """What the kernel does with a member, in terms of names and inodes."""
        self._recorder.member(header)
        self._count += 1
        self._budget.spend(Resource.MEMBERS)
        if self._count % _TICK == 0:
            self._budget.tick()
        if self._count > _MEMBER_LIMIT:
            raise DamagedError(f"it has more than {_MEMBER_LIMIT} members")
        if header.is_trailer:
            self._links.clear()
            return
        if header.size and not (header.is_file or header.is_symlink):
            return  # the kernel skips those
        path = cpio.normal(header.name)
        inode = self._inode(path, header)
        if header.is_file or header.is_symlink:
            self._fill(inode, path, header, pieces)
        inode.names.add(path)
        self._current.add(path)
        self._names[path] = _Name(header, len(self._segments), inode)

    def _inode(self, path: str, header: cpio.Header) -> _Inode:
        """What *path* leads to from now on."""
        before = self._names.get(path)
        if header.nlink >= 2 and not header.is_directory:
            key = (header.devmajor, header.devminor, header.ino, stat.S_IFMT(header.mode))
            linked = self._links.get(key)
            if linked is not None:
                self._unlink(path)
                return linked
            inode = self._links[key] = self._overwritten(path, before, header)
            return inode
        return self._overwritten(path, before, header)

    def _overwritten(self, path: str, before: _Name | None, header: cpio.Header) -> _Inode:
        """A regular file is opened and cut off, so all its names change; the rest is replaced."""
        if before is not None and before.inode.header.is_file and header.is_file:
            inode = before.inode
            self._forget(inode)
            inode.header = header
            return inode
        self._unlink(path)
        return _Inode(header)

    def _unlink(self, path: str) -> None:
        before = self._names.pop(path, None)
        if before is not None:
            before.inode.names.discard(path)
            if not before.inode.names:
                self._forget(before.inode)

    def _forget(self, inode: _Inode) -> None:
        self._kept -= len(inode.content or b"")
        inode.content, inode.needles = None, ()

    def _fill(
        self, inode: _Inode, path: str, header: cpio.Header, pieces: Iterator[memoryview]
    ) -> None:
        if header.size == 0 and inode.content is not None:
            return  # a further hard link, without contents of its own
        first = next(pieces, memoryview(b""))
        passed = first[: len(_PROGRAM)] == _PROGRAM or path.startswith(_FIRMWARE)
        if passed and not self._is_wanted(path, header, inode):
            self._recorder.content(bytes(first[: len(_PROGRAM)]))
            self._forget(inode)
            for _ in pieces:
                pass
            return
        if header.size > KEPT_LIMIT:
            self._recorder.give_up()
            self._forget(inode)
            inode.needles = tuple(self._wanted.found_in_pieces(chain([first], pieces)))
            return
        content = b"".join([first, *pieces])
        if len(content) != header.size:
            raise UnrecordedError
        self._recorder.content(content)
        self._forget(inode)
        inode.needles = tuple(self._wanted.found_in(content))
        # Contents of a hard link are kept until it is known which names lead to them.
        if header.nlink > 1 or inode.names or self._is_wanted(path, header, inode):
            self._kept += len(content)
            if self._kept > _KEPT_TOTAL_LIMIT:
                raise DamagedError("too much of it would have to be corrected")
            inode.content = content

    def _is_wanted(self, path: str, header: cpio.Header, inode: _Inode) -> bool:
        return (
            bool(inode.needles)
            or path in self._read
            or header.check == OUR_MARK
            or any(needle in header.name for needle in self._needles)
        )

    def _hits(self) -> Iterator[Hit]:
        for path, name in self._names.items():
            header = name.header
            # Only what we emptied is known to be unused; another file may be empty on purpose.
            emptied = header.check == OUR_MARK and name.inode.content in {b"", b"/dev/null"}
            harmless = header.is_directory or emptied
            for needle in self._needles:
                if needle in header.name:
                    yield Hit(path, Place.NAME, needle, harmless)
            place = Place.TARGET if header.is_symlink else Place.CONTENT
            for needle in name.inode.needles:
                yield Hit(path, place, needle)

    def _bootconfig_hits(self) -> Iterator[Hit]:
        trailing = bytes(self._data[self._end :][-1024 * 1024 :])
        # A boot loader may have padded it to a multiple of four.
        if trailing.rstrip(b"\0").endswith(_BOOTCONFIG_MAGIC):
            for needle in self._needles:
                if needle in trailing:
                    yield Hit(BOOTCONFIG, Place.CONTENT, needle)


def _is_ours(header: cpio.Header) -> bool:
    return header.check == OUR_MARK and header.size <= KEPT_LIMIT
