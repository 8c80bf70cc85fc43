"""udev rules of the machine's own that match a file system or partition."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="udev-rules",
        title="udev rules",
        why="a rule that matches by ID_FS_UUID no longer does",
        sources=("udev(7)",),
    ),
    paths=(
        "/etc/udev/rules.d/*",
        "/etc/udev/hwdb.d/*",
        "/usr/local/lib/udev/rules.d/*",
    ),
)
