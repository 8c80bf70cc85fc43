"""The types of directory entries, which ext, XFS and btrfs number alike.

Reference: Linux ``include/linux/fs_types.h`` (``FT_REG_FILE`` and the others).
"""

from __future__ import annotations

import stat

#: Type to the file type bits of ``st_mode``; a type that is not here has to be looked up.
MODES = {
    1: stat.S_IFREG,
    2: stat.S_IFDIR,
    3: stat.S_IFCHR,
    4: stat.S_IFBLK,
    5: stat.S_IFIFO,
    6: stat.S_IFSOCK,
    7: stat.S_IFLNK,
}
