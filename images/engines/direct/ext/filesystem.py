"""Paths of one ext file system: each operation with the side effects it has in the kernel.

References: Linux ``fs/ext4/namei.c`` (times, link counts), ``fs/attr.c`` and ``fs/open.c``
(set-id bits and file capabilities on changes), ``fs/posix_acl.c`` (inheritance).
"""

from __future__ import annotations

import errno
import os
import stat

from unclone.images.engines.direct.ext import acl
from unclone.images.engines.direct.ext.flags import APPEND, IMMUTABLE
from unclone.images.engines.direct.ext.inode import Inode
from unclone.images.engines.direct.ext.libext2fs import Ext2Error
from unclone.images.engines.direct.ext.reading import NAME_MAX, Reading, require_new
from unclone.images.engines.direct.ext.volume import ROOT, Volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unclone.images.engines.direct.access.disk import Disk
    from unclone.images.file_systems.ext_superblock import Superblock

_CAPABILITY = "security.capability"
_NAMESPACES = ("user.", "trusted.", "security.")
_LINK_MAX = 65000


class ExtFileSystem(Reading):
    """One file system, by absolute paths as bytes, symlinks never followed."""

    def __init__(self, disk: Disk, offset: int, superblock: Superblock, *, writable: bool) -> None:
        super().__init__(Volume(disk, offset, superblock, writable=writable))

    def close(self) -> None:
        """Write everything out."""
        self._volume.close()

    # -- writing ---------------------------------------------------------------------------
    def write(self, path: bytes, content: bytes, keep: int = 0) -> None:
        self._volume.prepare_to_write()
        number = self._changeable(self._file(path)).number
        self._volume.overwrite(number, content, keep=keep)
        self._drop_capability(number)
        inode = self._volume.inode(number)
        inode.touch(content=True)
        self._volume.save(inode)

    def create(self, path: bytes, content: bytes, mode: int, uid: int, gid: int) -> None:
        directory, name = self._place(path)
        number = self._volume.allocate(stat.S_IFREG | mode, directory.number)
        self._volume.count(number)
        inode = Inode.blank(
            number, self._volume.superblock.inode_size, stat.S_IFREG | mode & 0o7777
        )
        inode.links = 1
        inode.set_owner(uid, gid)
        inode.set_generation(int.from_bytes(os.urandom(4), "little"))
        inode.touch(content=True, access=True, birth=True)
        inode.inherit_flags(directory)
        if self._volume.superblock.uses_extents:
            inode.use_extents()
        self._volume.save(inode)
        try:
            if content:
                self._volume.overwrite(number, content)
            self._inherit_acl(directory, number, is_directory=False)
            self._enter(directory.number, name, number)
        except BaseException:
            self._volume.evict(number)
            raise

    def make_directory(self, path: bytes, mode: int, uid: int, gid: int) -> None:
        directory, name = self._place(path)
        if directory.links >= _LINK_MAX - 1:
            raise OSError(errno.EMLINK, "the directory holds too many directories")
        number = self._volume.allocate(stat.S_IFDIR | mode, directory.number)
        self._volume.make_directory(directory.number, number)
        if directory.links == 1:  # it holds more than can be counted (feature dir_nlink)
            self._set_links(directory.number, 1)
        try:
            self._finish(directory, number, mode, uid, gid)
            self._inherit_acl(directory, number, is_directory=True)
            self._enter(directory.number, name, number)
        except BaseException:
            self._volume.evict(number)
            self._set_links(directory.number, directory.links)
            raise

    def make_symlink(self, path: bytes, target: bytes) -> None:
        if not target or b"\0" in target:
            raise OSError(errno.EINVAL, "a symlink needs a text without NUL")
        directory, name = self._place(path)
        if len(target) >= self._volume.superblock.block_size:
            raise OSError(errno.ENAMETOOLONG, "the text of the symlink is too long")
        number = self._volume.allocate(stat.S_IFLNK | 0o777, directory.number)
        self._volume.make_symlink(directory.number, number, target)
        try:
            self._finish(directory, number, 0o777, 0, 0)
            self._enter(directory.number, name, number)
        except BaseException:
            self._volume.evict(number)
            raise

    def remove(self, path: bytes) -> None:
        directory, name = self._place(path, must_exist=True)
        _require_not(directory, APPEND)
        number = self._volume.lookup(directory.number, name)
        self._known.clear()
        freed, counted, is_directory = self._plan_removal(number)
        self._volume.unlink(directory.number, name)
        for child, links in counted.items():
            inode = self._volume.inode(child)
            inode.links = links
            inode.touch()
            self._volume.save(inode)
        for child in freed:
            self._volume.evict(child)
        self._after_entry_change(directory.number, -1 if is_directory else 0)

    def rename(self, old: bytes, new: bytes) -> None:
        source, old_name = self._place(old, must_exist=True)
        target, new_name = self._place(new, may_exist=True)
        moved = self._changeable(self._volume.inode(self._volume.lookup(source.number, old_name)))
        _require_not(source, APPEND)
        if moved.is_directory and (new.rstrip(b"/") + b"/").startswith(old.rstrip(b"/") + b"/"):
            if new.rstrip(b"/") == old.rstrip(b"/"):
                return
            raise OSError(errno.EINVAL, "a directory cannot move into itself")
        taken = self._taken(target.number, new_name)
        if taken == moved.number:
            return
        if taken:
            self._replace(target, new_name, self._volume.inode(taken), moved)
        self._known.clear()
        self._volume.link(target.number, new_name, moved)
        self._volume.unlink(source.number, old_name)
        crossing = moved.is_directory and source.number != target.number
        if crossing:
            self._volume.set_parent(moved.number, target.number)
        moved = self._volume.inode(moved.number)
        moved.touch()
        self._volume.save(moved)
        self._after_entry_change(source.number, -1 if crossing else 0)
        self._after_entry_change(target.number, 1 if crossing else 0)

    def set_owner(self, path: bytes, uid: int, gid: int) -> None:
        self._volume.prepare_to_write()
        inode = self._changeable(self._inode(path))
        if not inode.is_directory:
            self._drop_capability(inode.number)
            inode = self._volume.inode(inode.number)
        inode.set_owner(uid, gid)
        if inode.is_regular:
            inode.mode &= ~stat.S_ISUID
            if inode.mode & stat.S_IXGRP:
                inode.mode &= ~stat.S_ISGID
        inode.touch()
        self._volume.save(inode)

    def set_mode(self, path: bytes, mode: int) -> None:
        self._volume.prepare_to_write()
        inode = self._changeable(self._inode(path))
        if inode.is_symlink:
            raise OSError(errno.EOPNOTSUPP, "a symlink has no mode of its own")
        access = self._volume.attributes(inode.number).get(acl.ACCESS)
        if access:
            self._volume.set_attribute(inode.number, acl.ACCESS, acl.with_mode(access, mode))
            inode = self._volume.inode(inode.number)
        inode.mode = stat.S_IFMT(inode.mode) | mode & 0o7777
        inode.touch()
        self._volume.save(inode)

    def set_xattr(self, path: bytes, name: str, value: bytes) -> None:
        self._volume.prepare_to_write()
        inode = self._changeable(self._inode(path))
        if not name.startswith(_NAMESPACES):
            raise OSError(errno.EOPNOTSUPP, f"attributes like {name} cannot be set")
        if name.startswith("user.") and not (inode.is_regular or inode.is_directory):
            raise OSError(errno.EPERM, "only files and directories have user attributes")
        if len(os.fsencode(name)) > NAME_MAX:
            raise OSError(errno.ERANGE, "the name of the attribute is too long")
        self._volume.set_attribute(inode.number, name, value)
        inode = self._volume.inode(inode.number)
        inode.touch()
        self._volume.save(inode)

    # -- finding ---------------------------------------------------------------------------
    def _taken(self, directory: int, name: bytes) -> int:
        try:
            return self._volume.lookup(directory, name)
        except Ext2Error as error:
            if error.errno != errno.ENOENT:
                raise
            return 0

    def _place(
        self, path: bytes, *, must_exist: bool = False, may_exist: bool = False
    ) -> tuple[Inode, bytes]:
        """The directory in which *path* is to change, and its name there."""
        self._volume.prepare_to_write()
        base, _, name = path.rstrip(b"/").rpartition(b"/")
        if not name:
            raise OSError(errno.EBUSY, "is the root of the file system")
        if len(name) > NAME_MAX:
            raise OSError(errno.ENAMETOOLONG, "the name is too long")
        if name in {b".", b".."} or b"\0" in name:
            raise OSError(errno.EINVAL, "the path is not physical")
        directory = self._directory(base)
        _require_not(directory, IMMUTABLE)
        taken = self._taken(directory.number, name)
        if must_exist and not taken:
            raise OSError(errno.ENOENT, "there is no such file or directory")
        if taken and not (must_exist or may_exist):
            raise OSError(errno.EEXIST, "the name is taken")
        return directory, name

    # -- changing --------------------------------------------------------------------------
    def _changeable(self, inode: Inode) -> Inode:
        _require_not(inode, IMMUTABLE | APPEND)
        return inode

    def _plan_removal(self, top: int) -> tuple[list[int], dict[int, int], bool]:
        """What goes with inode *top*: those to free, new link counts of others, whether a tree."""
        first = self._changeable(self._volume.inode(top))
        links = {} if first.is_directory else {top: first.links - 1}
        directories = [top] if first.is_directory else []
        seen = {top, ROOT}
        for number in directories:  # grows on the way
            # In the order of the inode table: libext2fs remembers one block of it.
            for child in sorted(child for child, _ in self._volume.entries(number).values()):
                inode = self._changeable(self._volume.inode(child))
                if inode.is_directory:
                    require_new(child, seen)
                    directories.append(child)
                else:
                    links[child] = links.get(child, inode.links) - 1
        freed = [child for child, left in links.items() if left <= 0]
        counted = {child: left for child, left in links.items() if left > 0}
        return freed + directories, counted, first.is_directory

    def _replace(self, directory: Inode, name: bytes, old: Inode, new: Inode) -> None:
        """Make room for *new* under a name that *old* has."""
        self._changeable(old)
        if old.is_directory and not new.is_directory:
            raise OSError(errno.EISDIR, "is a directory")
        if new.is_directory and not old.is_directory:
            raise OSError(errno.ENOTDIR, "is not a directory")
        if old.is_directory and self._volume.entries(old.number):
            raise OSError(errno.ENOTEMPTY, "the directory is not empty")
        self._volume.unlink(directory.number, name)
        if old.is_directory or old.links <= 1:
            self._volume.evict(old.number)
        else:
            old.links -= 1
            old.touch()
            self._volume.save(old)
        if old.is_directory:
            self._after_entry_change(directory.number, -1)

    def _enter(self, directory: int, name: bytes, number: int) -> None:
        self._volume.link(directory, name, self._volume.inode(number))
        self._known.clear()
        self._after_entry_change(directory, 0)

    def _after_entry_change(self, number: int, links: int) -> None:
        directory = self._volume.inode(number)
        if directory.links > 1:  # 1 says that it holds more directories than can be counted
            directory.links += links
        directory.touch(content=True)
        self._volume.save(directory)

    def _set_links(self, number: int, links: int) -> None:
        inode = self._volume.inode(number)
        inode.links = links
        self._volume.save(inode)

    def _finish(self, directory: Inode, number: int, mode: int, uid: int, gid: int) -> None:
        inode = self._volume.inode(number)
        inode.mode = stat.S_IFMT(inode.mode) | mode & 0o7777
        inode.set_owner(uid, gid)
        inode.touch(content=True, access=True, birth=True)
        inode.inherit_flags(directory)
        self._volume.save(inode)

    def _inherit_acl(self, directory: Inode, number: int, *, is_directory: bool) -> None:
        default = self._volume.attributes(directory.number).get(acl.DEFAULT)
        if not default:
            return
        mode = self._volume.inode(number).mode
        if acl.says_more_than_mode(default):
            self._volume.set_attribute(number, acl.ACCESS, acl.with_mode(default, mode))
        if is_directory:
            self._volume.set_attribute(number, acl.DEFAULT, default)

    def _drop_capability(self, number: int) -> None:
        if _CAPABILITY in self._volume.attributes(number):
            self._volume.remove_attribute(number, _CAPABILITY)


def _require_not(inode: Inode, flags: int) -> None:
    if inode.flags & flags:
        raise OSError(errno.EPERM, "is immutable or append-only")
