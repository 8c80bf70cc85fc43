"""Names of open files: what a path leads to can be exchanged by any writer of its folder.

Reference: proc_pid_fd(5) (to open such a name is to open the file itself, wherever it is by then).
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def pinned_name(descriptor: int) -> Path:
    """A name of the very file that is open as *descriptor*, for this process and its children.

    A path can be given to another file by any writer of a folder in it; this cannot.
    """
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def is_pinned(name: Path) -> bool:
    """Whether *name* is from :func:`pinned_name`."""
    return name.parent == Path(f"/proc/{os.getpid()}/fd")


def with_paths(text: str) -> str:
    """*text* with the paths of files in place of their pinned names, for people."""
    return re.sub(rf"/proc/{os.getpid()}/fd/\d+", _target, text)


def _target(match: re.Match[str]) -> str:
    try:
        return str(Path(match[0]).readlink())
    except OSError:
        return match[0]
