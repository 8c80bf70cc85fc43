"""Names of open files. Whoever can write to a directory can exchange the files behind its paths.

Reference: proc_pid_fd(5) (opening such a name opens the same file, also after a rename).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from unclone.images.errors import EngineError


def pinned_name(descriptor: int) -> Path:
    """A name of the file that is open as *descriptor*, for this process and its children.

    Raises EngineError where ``/proc`` is not mounted.
    """
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 (called often)
        raise EngineError("/proc is not mounted", hint="Mount it: mount -t proc proc /proc")
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


def is_pinned(name: Path) -> bool:
    """Whether *name* is from :func:`pinned_name`."""
    return name.parent == Path(f"/proc/{os.getpid()}/fd")


def with_paths(text: str) -> str:
    """*text* with the paths of files in place of their pinned names, for messages."""
    return re.sub(rf"/proc/{os.getpid()}/fd/\d+", _target, text)


def _target(match: re.Match[str]) -> str:
    try:
        return str(Path(match[0]).readlink())
    except OSError:
        return match[0]
