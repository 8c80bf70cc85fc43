"""btrfs on one device at rest: reading, and overwriting content.

Content that is overwritten stays in its extent, whose checksums, and that of the block which holds
them, are set anew. No address and no generation changes.

References: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html; Linux
``include/uapi/linux/btrfs_tree.h``.
"""

from __future__ import annotations

import errno
import struct
import uuid
import zlib
from typing import TYPE_CHECKING, NamedTuple

from unclone.images.blocks import number
from unclone.images.engines.direct.directory_types import MODES
from unclone.images.engines.direct.in_place.btrfs_trees import (
    LAST,
    Item,
    Trees,
    damaged,
)
from unclone.images.engines.direct.in_place.tree import parsed
from unclone.images.errors import EngineError
from unclone.images.file_systems.btrfs_uuid import checksum
from unclone.images.volumes import Subvolume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.blocks import Blocks
    from unclone.images.engines.direct.driver import StatTuple

# Types of items.
_INODE, _INODE_REF, _XATTR, _DIR_ITEM, _DIR_INDEX, _EXTENT_DATA = 1, 12, 24, 84, 96, 108
_CHECKSUM, _ROOT, _ROOT_BACKREF, _EXTENT = 128, 132, 144, 168
# Trees and objects.
_EXTENT_TREE, _TOP, _CHECKSUM_TREE, _FIRST, _ROOT_DIRECTORY = 2, 5, 7, 256, 6
_CHECKSUMS = 2**64 - 10
_NO_CHECKSUMS = 1
_INLINE, _REGULAR = 0, 1
_ZLIB = 1
_INLINE_HEADER, _ENTRY_HEADER = 21, 30
_PARENT_UUID = 263
#: Bytes of a compressed extent, unpacked.
_MOST_UNPACKED = 128 * 1024


class _Inode(NamedTuple):
    #: The number of the subvolume, and of the inode in it: ``tree << 64 | inode``.
    number: int
    stat: StatTuple
    has_checksums: bool


class _Entry(NamedTuple):
    name: bytes
    data: bytes
    type: int
    #: Object and type of what it names.
    target: tuple[int, int]


class Btrfs:
    """A :class:`.tree.Format`."""

    def __init__(self, blocks: Blocks) -> None:
        """Raises EngineError."""
        self._trees = Trees(blocks)
        self._roots = {
            item.key[0]: item.data
            for item in self._trees.items(self._trees.root, (0, 0, 0), (LAST, 255, LAST))
            if item.key[1] == _ROOT
        }

    @parsed
    def root(self, subvolume: str) -> _Inode:
        if not subvolume:
            return self.node(self._default() << 64 | _FIRST)
        node = self.node(_TOP << 64 | _FIRST)
        for name in subvolume.encode("utf-8", "surrogateescape").split(b"/"):
            if name:
                found = self.entries(node).get(name)
                if found is None:
                    raise EngineError(f"there is no subvolume {subvolume}")
                node = self.node(found[0])
        return node

    @parsed
    def subvolumes(self) -> tuple[Sequence[Subvolume], str]:
        """Those below the top, and the path of the default one."""
        paths = {_TOP: b""}
        found = []
        for tree in sorted(self._roots):
            if tree >= _FIRST and self._backref(tree) is not None:
                raw = self._roots[tree]
                ids = [raw[at : at + 16] for at in (_PARENT_UUID - 16, _PARENT_UUID)]
                own, parent = [str(uuid.UUID(bytes=one)) if any(one) else "" for one in ids]
                path = paths[tree] = self._path(tree)
                found.append(Subvolume(path.decode("utf-8", "surrogateescape"), own, parent, tree))
        return found, paths[self._default()].decode("utf-8", "surrogateescape")

    @parsed
    def node(self, number_: int) -> _Inode:
        tree, inode = number_ >> 64, number_ & LAST
        item = self._trees.one(self._root_of(tree), (inode, _INODE, 0))
        if item is None:
            raise damaged(f"inode {inode}")
        links, uid, gid, mode = struct.unpack_from("<4I", item.data, 40)
        flags = number(item.data, 64, "<Q")
        attributes = (mode, uid, gid, number(item.data, 16, "<Q"), links)
        return _Inode(number_, attributes, not flags & _NO_CHECKSUMS)

    @parsed
    def entries(self, directory: _Inode) -> Mapping[bytes, tuple[int, int]]:
        found = {}
        tree = directory.number >> 64
        for item in self._items(directory, _DIR_INDEX):
            for entry in _entries(item.data):
                target, kind = entry.target
                inode = target << 64 | _FIRST if kind == _ROOT else tree << 64 | target
                if kind != _ROOT or target in self._roots:
                    found[entry.name] = inode, MODES.get(entry.type, 0)
        return found

    @parsed
    def attributes(self, node: _Inode) -> dict[str, bytes]:
        return {
            entry.name.decode("utf-8", "surrogateescape"): entry.data
            for item in self._items(node, _XATTR)
            for entry in _entries(item.data)
        }

    @parsed
    def content(self, node: _Inode, count: int) -> bytes:
        found = bytearray(count)
        for item in self._items(node, _EXTENT_DATA):
            start = item.key[2]
            if start >= count:
                break
            part = self._extent(item, count - start)[: count - start]
            found[start : start + len(part)] = part
        return bytes(found)

    @parsed
    def overwrite(self, node: _Inode, old: bytes, new: bytes) -> None:
        if any(any(raw[_PARENT_UUID : _PARENT_UUID + 16]) for raw in self._roots.values()):
            raise EngineError("the btrfs has snapshots, which share blocks with it")
        covered, changed = 0, []
        for item in self._items(node, _EXTENT_DATA):
            start = item.key[2]
            end = min(start + _length(item.data), len(new))
            before, after = old[start:end], new[start:end]
            if before == after or not _has_content(item.data):
                continue
            covered += _differences(before, after)
            if item.data[16]:
                raise EngineError("a file that has to be changed is compressed")
            changed.append((item, before, after))
        if covered != _differences(old, new):
            raise EngineError("a part of a file has no blocks")
        for item, before, after in changed:
            if item.data[20] == _INLINE:
                self._trees.patch(item.node, item.start + _INLINE_HEADER, after)
            else:
                self._overwrite_extent(node, item.data, before, after)

    # -- helpers ---------------------------------------------------------------------------
    def _overwrite_extent(self, node: _Inode, raw: bytes, before: bytes, after: bytes) -> None:
        disk, length, offset = struct.unpack_from("<3Q", raw, _INLINE_HEADER)
        extents = self._root_of(_EXTENT_TREE)
        extent = self._trees.one(extents, (disk, _EXTENT, length))
        if extent is None or number(extent.data, 0, "<Q") != 1:
            raise EngineError("a file that has to be changed shares blocks with another")
        sector = self._trees.sector
        for at in range(0, len(after), sector):
            if before[at : at + sector] != after[at : at + sector]:
                address = disk + offset + at
                content = after[at : at + sector]
                rest = self._trees.read(address, sector)[len(content) :]
                self._trees.write(address, content + rest)
                if node.has_checksums:
                    self._set_checksum(address, checksum(content + rest))

    def _set_checksum(self, address: int, value: bytes) -> None:
        sector = self._trees.sector
        root = self._root_of(_CHECKSUM_TREE)
        first, last = (_CHECKSUMS, _CHECKSUM, 0), (_CHECKSUMS, _CHECKSUM, address)
        item = None
        for item in self._trees.items(root, first, last):  # noqa: B007 (the last one)
            pass
        index = (address - item.key[2]) // sector * 4 if item is not None else 0
        if item is None or index + 4 > len(item.data):
            raise damaged("a checksum is missing")
        self._trees.patch(item.node, item.start + index, value)

    def _extent(self, item: Item, count: int) -> bytes:
        """The first *count* bytes of an extent, or more."""
        raw = item.data
        compression, kind = raw[16], raw[20]
        if compression not in {0, _ZLIB} or raw[17] or number(raw, 18, "<H"):
            raise EngineError("a file is compressed with LZO or zstd, or encrypted")
        if kind == _INLINE:
            content = raw[_INLINE_HEADER:]
            return _unpacked(content) if compression else content
        disk, length, offset, size = struct.unpack_from("<4Q", raw, _INLINE_HEADER)
        if not disk or kind != _REGULAR:
            return b""
        if compression:
            return _unpacked(self._trees.read(disk, length))[offset : offset + size]
        return self._trees.read(disk + offset, min(size, count))

    def _items(self, node: _Inode, kind: int) -> Iterator[Item]:
        tree, inode = node.number >> 64, node.number & LAST
        return self._trees.items(self._root_of(tree), (inode, kind, 0), (inode, kind, LAST))

    def _root_of(self, tree: int) -> int:
        raw = self._roots.get(tree)
        if raw is None:
            raise damaged(f"there is no tree {tree}")
        return number(raw, 176, "<Q")

    def _default(self) -> int:
        first, last = (_ROOT_DIRECTORY, _DIR_ITEM, 0), (_ROOT_DIRECTORY, _DIR_ITEM, LAST)
        for item in self._trees.items(self._trees.root, first, last):
            for entry in _entries(item.data):
                if entry.name == b"default":
                    return entry.target[0]
        return _TOP

    def _backref(self, tree: int) -> Item | None:
        return self._trees.one(
            self._trees.root, (tree, _ROOT_BACKREF, 0), (tree, _ROOT_BACKREF, LAST)
        )

    def _path(self, tree: int) -> bytes:
        """The path of the subvolume *tree* below the top."""
        names: list[bytes] = []
        seen = set()
        while tree != _TOP:
            item = self._backref(tree)
            if item is None or tree in seen:
                raise damaged(f"the subvolume {tree}")
            seen.add(tree)
            directory, _, length = struct.unpack_from("<QQH", item.data)
            names.append(item.data[18 : 18 + length])
            tree = item.key[2]
            names += self._names_to(tree, directory)
        return b"/".join(reversed(names))

    def _names_to(self, tree: int, inode: int) -> Iterator[bytes]:
        """The names of the directory *inode* and of those above it."""
        seen = set()
        while inode != _FIRST:
            item = self._trees.one(
                self._root_of(tree), (inode, _INODE_REF, 0), (inode, _INODE_REF, LAST)
            )
            if item is None or inode in seen:
                raise damaged(f"inode {inode}")
            seen.add(inode)
            yield item.data[10 : 10 + number(item.data, 8, "<H")]
            inode = item.key[2]


def _entries(data: bytes) -> Iterator[_Entry]:
    at = 0
    while at + _ENTRY_HEADER <= len(data):
        target, kind = struct.unpack_from("<QB", data, at)
        size, length, type_ = struct.unpack_from("<HHB", data, at + 25)
        at += _ENTRY_HEADER
        name = data[at : at + length]
        yield _Entry(name, data[at + length : at + length + size], type_, (target, kind))
        at += length + size


def _length(raw: bytes) -> int:
    """The bytes of a file that an extent is for."""
    return number(raw, 8, "<Q") if raw[20] == _INLINE else number(raw, 45, "<Q")


def _has_content(raw: bytes) -> bool:
    """Whether an extent is more than zeros without blocks, or blocks that are only reserved."""
    return raw[20] == _INLINE or (raw[20] == _REGULAR and number(raw, _INLINE_HEADER, "<Q") != 0)


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, _MOST_UNPACKED)
    except zlib.error as error:
        raise OSError(errno.EIO, f"the file system is damaged: {error}") from error


def _differences(before: bytes, after: bytes) -> int:
    if before == after:
        return 0
    return sum(a != b for a, b in zip(before, after, strict=True))
