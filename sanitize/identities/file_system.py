"""Which file system a file is on.

References: proc(5), ``/proc/[pid]/mountinfo``.
"""

from __future__ import annotations

import os
from pathlib import Path

#: Of these file systems not every server does the locks that SQLite relies on.
NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "nfs", "nfs4", "smb3", "smbfs"}
)


def file_system_type(path: Path) -> str:
    """The type of the file system that *path* is on (``ext4``, ``nfs4``); "" when unknown."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return ""
