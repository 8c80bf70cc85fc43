"""POSIX access control lists in the form of the ``system.posix_acl_*`` attributes.

What the kernel does by itself when it makes an inode or changes its mode has to be done here.

References: Linux ``include/uapi/linux/posix_acl_xattr.h``, ``fs/posix_acl.c``; acl(5).
"""

from __future__ import annotations

import struct

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

_VERSION = 2
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20


def with_mode(acl: bytes, mode: int) -> bytes:
    """Return *acl* as it is after its inode was given the permission bits *mode*."""
    entries = _entries(acl)
    group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP_OBJ
    bits = {_USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    return _packed([(tag, bits.get(tag, perm), who) for tag, perm, who in entries])


def says_more_than_mode(acl: bytes) -> bool:
    """Whether *acl* has entries that permission bits cannot express."""
    return any(tag not in {_USER_OBJ, _GROUP_OBJ, _OTHER} for tag, _, _ in _entries(acl))


def _entries(acl: bytes) -> list[tuple[int, int, int]]:
    if len(acl) < 4 or struct.unpack_from("<I", acl)[0] != _VERSION:
        raise ValueError("not a POSIX access control list")
    whole = (len(acl) - 4) // _ENTRY.size * _ENTRY.size
    return list(_ENTRY.iter_unpack(acl[4 : 4 + whole]))


def _packed(entries: list[tuple[int, int, int]]) -> bytes:
    return struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(*entry) for entry in entries)
