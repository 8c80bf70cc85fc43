"""Bits of ``i_flags``.

References: Linux ``Documentation/filesystems/ext4/inodes.rst``.
"""

APPEND, IMMUTABLE, EXTENTS, INLINE_DATA = 0x20, 0x10, 0x80000, 0x10000000
ENCRYPTED, CASEFOLDED, EA_INODE = 0x800, 0x40000000, 0x200000
