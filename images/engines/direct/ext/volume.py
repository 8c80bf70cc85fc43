"""An open ext file system by inode number: libext2fs, with the kernel's checks and updates.

libext2fs checks little. What the kernel would check first (reserved inodes, deleted ones,
types), and what it would update besides (times, reference counts), is done here.

References: e2fsprogs 1.47 ``lib/ext2fs/*.c``; Linux ``fs/ext4/inode.c`` (ext4_iget's checks).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from functools import partial

from unclone.images.engines.direct.ext import libext2fs as lib
from unclone.images.engines.direct.ext.attributes import Attributes, all_of
from unclone.images.engines.direct.ext.channel import Manager
from unclone.images.engines.direct.ext.contents import read_runs, runs_of
from unclone.images.engines.direct.ext.flags import (
    CASEFOLDED,
    EA_INODE,
    ENCRYPTED,
    EXTENTS,
    INLINE_DATA,
)
from unclone.images.engines.direct.ext.inode import Inode
from unclone.images.engines.direct.ext.libext2fs import byref, call, library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unclone.images.engines.direct.access.disk import Disk
    from unclone.images.engines.direct.ext.contents import Run
    from unclone.images.file_systems.ext_superblock import Superblock

    #: (inode number, record length, name length, type), name, address of the entry -> flags
    Visit = Callable[[int, int, bytes, int], int]

ROOT = 2
_TYPES = frozenset(
    {
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFCHR,
        stat.S_IFBLK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
    }
)
#: Directory entry types, ext2_fs.h EXT2_FT_*.
_ENTRY_TYPE = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}
_CHUNK = 1024 * 1024
#: Bytes; the blocks of a larger file are not iterated over one by one.
_MANY_BYTES = 4 * 1024**3


class Volume:
    """A file system on *disk*, which begins *offset* bytes into it."""

    def __init__(self, disk: Disk, offset: int, superblock: Superblock, *, writable: bool) -> None:
        self.superblock = superblock
        self._writable = writable
        self._bitmaps = False
        self._buffer = ctypes.create_string_buffer(_CHUNK)
        self._new_inode = ctypes.c_char * superblock.inode_size
        self._for_files = range(superblock.first_inode, superblock.s_inodes_count + 1)
        self._own = {superblock.s_journal_inum, superblock.s_orphan_file_inum}
        self._fs = ctypes.c_void_p()
        flags = lib.OPEN_64BITS | lib.OPEN_MASTER_SB_ONLY | (lib.OPEN_RW if writable else 0)
        options = b"offset=%d" % offset
        size = superblock.blocks_count * superblock.block_size
        self._manager = Manager(disk, offset, size)
        self._unchanged = partial(_unchanged, disk, offset)
        path = os.fsencode(disk.place.file)
        call("open2", path, options, flags, 0, 0, self._manager.pointer, byref(self._fs))
        try:
            self._require_mountable()
        except BaseException:
            library.ext2fs_free(self._fs)
            raise

    def close(self) -> None:
        """Write everything to the file and close it."""
        if self._fs:
            call("close_free", byref(self._fs))

    def prepare_to_write(self) -> None:
        """Raise ``OSError(EROFS)`` unless this may be written, and load what that takes."""
        if not self._writable:
            raise OSError(errno.EROFS, "the file system is mounted read-only")
        if not self._bitmaps:
            call("read_bitmaps", self._fs)
            self._bitmaps = True

    # -- inodes ----------------------------------------------------------------------------
    def inode(self, number: int) -> Inode:
        """Read the inode *number*, which some directory names."""
        self._require_ordinary(number)
        inode = self._read(number)
        mode, links, flags = inode.key
        if not links or stat.S_IFMT(mode) not in _TYPES:
            raise _corrupt(f"inode {number} is not in use")
        if flags & (ENCRYPTED | CASEFOLDED | EA_INODE):
            raise OSError(errno.EOPNOTSUPP, f"inode {number} is encrypted or case-folded")
        return inode

    def save(self, inode: Inode) -> None:
        """Write *inode* back."""
        call("write_inode_full", self._fs, inode.number, inode.raw, len(inode.raw))

    def allocate(self, mode: int, directory: int) -> int:
        """Find a free inode near *directory*; it is taken when it is counted."""
        number = ctypes.c_uint32()
        call("new_inode", self._fs, directory, mode, None, byref(number))
        return number.value

    def count(self, number: int, *, is_directory: bool = False) -> None:
        """Mark the inode *number* as in use."""
        library.ext2fs_inode_alloc_stats2(self._fs, number, 1, int(is_directory))

    def evict(self, number: int) -> None:
        """Free the inode *number* with everything it holds."""
        inode = self._read(number)
        if inode.has_attribute_block:
            call("free_ext_attr", self._fs, number, inode.raw)
            self.save(inode)
        if library.ext2fs_inode_has_valid_blocks2(self._fs, inode.raw):
            inode = self._without_content(inode)
        inode.set_deleted()
        if inode.is_regular:
            inode.set_no_size()
        self.save(inode)
        library.ext2fs_inode_alloc_stats2(self._fs, number, -1, int(inode.is_directory))

    # -- directories -----------------------------------------------------------------------
    def lookup(self, directory: int, name: bytes) -> int:
        """The inode that *directory* calls *name*."""
        number = ctypes.c_uint32()
        call("lookup", self._fs, directory, name, len(name), None, byref(number))
        return number.value

    def entries(self, directory: int) -> dict[bytes, tuple[int, int]]:
        """What is in *directory* besides ``.`` and ``..``: name to inode number and entry type."""
        found: dict[bytes, tuple[int, int]] = {}
        wrong: list[bytes] = []

        def visit(number: int, kind: int, name: bytes, _entry: int) -> int:
            if b"\0" in name or b"/" in name or not name:
                wrong.append(name)
                return lib.DIRENT_ABORT
            if name not in {b".", b".."}:
                found[name] = number, kind
            return 0

        self._iterate(directory, visit)
        if wrong:  # as the kernel's verify_dirent_name()
            raise OSError(errno.EIO, f"directory {directory} holds a name with a slash or a NUL")
        return found

    def link(self, directory: int, name: bytes, inode: Inode) -> None:
        """Enter *inode* into *directory*, which grows when it is full."""
        kind = _ENTRY_TYPE[stat.S_IFMT(inode.mode)]
        try:
            call("link", self._fs, directory, name, inode.number, kind)
        except lib.Ext2Error as error:
            if error.code != lib.DIR_NO_SPACE:
                raise
            call("expand_dir", self._fs, directory)
            call("link", self._fs, directory, name, inode.number, kind)

    def unlink(self, directory: int, name: bytes) -> None:
        """Remove the entry *name* from *directory*; the inode is not changed."""
        call("unlink", self._fs, directory, name, 0, 0)

    def make_directory(self, parent: int, number: int) -> None:
        """Make *number* an empty directory; *parent* counts it, but does not name it yet."""
        call("mkdir", self._fs, parent, number, None)

    def make_symlink(self, parent: int, number: int, target: bytes) -> None:
        """Make *number* a symlink that nothing names yet."""
        call("symlink", self._fs, parent, number, None, target)

    def set_parent(self, directory: int, parent: int) -> None:
        """Set the entry ``..`` of *directory* to *parent*."""

        def visit(_number: int, _kind: int, name: bytes, entry: int) -> int:
            if name != b"..":
                return 0
            ctypes.c_uint32.from_address(entry).value = parent
            return lib.DIRENT_CHANGED | lib.DIRENT_ABORT

        self._iterate(directory, visit)

    # -- contents --------------------------------------------------------------------------
    def read(self, inode: Inode, limit: int, *, start: int = 0) -> bytes:
        """Up to *limit* bytes of the regular file *inode*, from byte *start* on."""
        runs = self.runs(inode)
        if runs is not None:
            end = max(start, min(start + limit, inode.size))
            found = read_runs(runs, start, end, self._unchanged)
            if found is not None:
                return found
        # Of a file inside its inode libext2fs gives at least the 60 bytes that are there for it.
        limit = min(limit, inode.size - start)
        with _File(self._fs, inode.number, 0) as file:
            if start:
                call("file_llseek", file, start, os.SEEK_SET, None)
            parts: list[bytes] = []
            got = ctypes.c_uint()
            while limit > 0:
                call("file_read", file, self._buffer, min(limit, _CHUNK), byref(got))
                if not got.value:
                    break
                parts.append(ctypes.string_at(self._buffer, got.value))
                limit -= got.value
            return b"".join(parts)

    def runs(self, inode: Inode) -> list[Run] | None:
        """Where the content of the regular file *inode* is, if that is known and untouched."""
        return runs_of(inode, self.superblock, self._unchanged)

    def overwrite(self, number: int, content: bytes, *, keep: int = 0) -> None:
        """Make *content* what the regular file *number* holds behind its first *keep* bytes."""
        inode = self.inode(number)
        if inode.flags & INLINE_DATA:
            content, keep = self.read(inode, keep) + content, 0
            self._empty_inline(number)
        elif not keep:
            self.save(self._without_content(inode))
        with _File(self._fs, number, lib.FILE_WRITE) as file:
            call("file_set_size2", file, keep)
            if keep:
                call("file_llseek", file, keep, os.SEEK_SET, None)
            for start in range(0, len(content), _CHUNK):
                piece = content[start : start + _CHUNK]
                done = ctypes.c_uint()
                call("file_write", file, piece, len(piece), byref(done))
                if done.value != len(piece):
                    raise OSError(errno.EIO, "a write was cut short")

    def link_target(self, inode: Inode) -> bytes:
        """The text of the symlink *inode*."""
        if inode.flags & INLINE_DATA:
            size = ctypes.c_size_t()
            call("inline_data_size", self._fs, inode.number, byref(size))
            buffer = ctypes.create_string_buffer(max(size.value, 1))
            call("inline_data_get", self._fs, inode.number, None, buffer, byref(size))
            return buffer.raw[: min(size.value, inode.size)]
        if library.ext2fs_is_fast_symlink(inode.raw):
            return inode.block_area[: inode.size].split(b"\0")[0]
        if inode.size >= self.superblock.block_size:
            raise _corrupt(f"the symlink in inode {inode.number} is too long")
        return self.read(inode, inode.size).split(b"\0")[0]

    # -- extended attributes ---------------------------------------------------------------
    def attributes(self, number: int) -> dict[str, bytes]:
        """The extended attributes of inode *number*, as ``getfattr`` names and shows them."""
        with Attributes(self._fs, number) as handle:
            return all_of(handle)

    def set_attribute(self, number: int, name: str, value: bytes) -> None:
        """Set one extended attribute of inode *number*."""
        with Attributes(self._fs, number) as handle:
            call("xattr_set", handle, os.fsencode(name), value, len(value))

    def remove_attribute(self, number: int, name: str) -> None:
        """Remove one extended attribute of inode *number*, if it has that."""
        with Attributes(self._fs, number) as handle:
            call("xattr_remove", handle, os.fsencode(name))

    # -- helpers ---------------------------------------------------------------------------
    def _without_content(self, inode: Inode) -> Inode:
        """Free the blocks of *inode*; what is to be saved of it.

        ext2fs_punch() refuses an extent that ends with the last block of the file system (1.46 and
        1.47, lib/ext2fs/punch.c, punch_extent_blocks), after it has forgotten the extent; so for
        extents it is used only where looking at every block would take long.
        """
        number = inode.number
        if not inode.flags & EXTENTS or inode.size > _MANY_BYTES:
            call("punch", self._fs, number, None, None, 0, 2**64 - 1)
            return self._read(number)
        blocks: list[int] = []

        def visit(
            _fs: int, block: Sequence[int], _count: int, _ref: int, _at: int, _private: int
        ) -> int:
            blocks.append(block[0])
            return 0

        flags = lib.ITERATE_READ_ONLY
        call("block_iterate3", self._fs, number, flags, None, lib.BlockCallback(visit), None)
        if any(not 0 < block < self.superblock.blocks_count for block in blocks):
            raise _corrupt(f"inode {number} claims blocks that are not there")
        for block in blocks:
            library.ext2fs_block_alloc_stats2(self._fs, block, -1)
        inode.use_extents()
        call("iblk_sub_blocks", self._fs, inode.raw, len(blocks))
        return inode

    def _empty_inline(self, number: int) -> None:
        """Make a file that is inside its inode an empty one that will have blocks.

        libext2fs cannot let the content grow inside the inode (1.47, lib/ext2fs/fileio.c,
        ext2fs_file_write_inline_data: it fails, or writes the padding, too).
        """
        self.remove_attribute(number, "system.data")
        inode = self._read(number)
        inode.flags &= ~INLINE_DATA
        inode.clear_block_area()
        if self.superblock.uses_extents:
            inode.use_extents()
        inode.set_no_size()
        self.save(inode)

    def _require_mountable(self) -> None:
        """Check what the kernel checks before it mounts."""
        call("check_desc", self._fs)
        if not self.inode(ROOT).is_directory:
            raise _corrupt("its root is not a directory")

    def _read(self, number: int) -> Inode:
        raw = self._new_inode()
        call("read_inode_full", self._fs, number, raw, len(raw))
        return Inode(number, raw)

    def _require_ordinary(self, number: int) -> None:
        if number != ROOT and number not in self._for_files:
            raise _corrupt(f"a directory names inode {number}, which is not for files")
        if number in self._own:
            raise _corrupt(f"a directory names inode {number}, the file system's own")

    def _iterate(self, directory: int, visit: Visit) -> None:
        failed: list[BaseException] = []

        def guarded(
            _dir: int, _what: int, entry: int, _offset: int, _size: int, _block: int, _private: int
        ) -> int:
            try:
                number, _, length, kind = _ENTRY.unpack(ctypes.string_at(entry, _ENTRY.size))
                return visit(number, kind, ctypes.string_at(entry + _ENTRY.size, length), entry)
            except BaseException as error:  # noqa: BLE001 - nothing can be raised through C
                failed.append(error)
                return lib.DIRENT_ABORT

        call("dir_iterate2", self._fs, directory, 0, None, lib.DirCallback(guarded), None)
        if failed:
            raise failed[0]


class _File:
    """An open file of the file system: closed at the end of the block, when that succeeds."""

    def __init__(self, fs: ctypes.c_void_p, number: int, flags: int) -> None:
        self._handle = ctypes.c_void_p()
        call("file_open2", fs, number, None, flags, byref(self._handle))

    def __enter__(self) -> ctypes.c_void_p:
        return self._handle

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            call("file_close", self._handle)
        else:
            library.ext2fs_file_close(self._handle)


_ENTRY = struct.Struct("=IHBB")  # inode, record length, name length, type (ext2_dir_entry_2)


def _unchanged(disk: Disk, offset: int, start: int, count: int) -> bytes | None:
    return disk.unchanged(offset + start, count)


def _corrupt(words: str) -> OSError:
    return OSError(errno.EUCLEAN, f"the file system is damaged: {words}")
