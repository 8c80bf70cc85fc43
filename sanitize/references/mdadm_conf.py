"""mdadm's ARRAY lines, with the UUID in groups between colons."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="mdadm-conf",
        title="mdadm configuration",
        why="an array that no ARRAY line matches is assembled under another name",
        sources=("mdadm.conf(5)",),
    ),
    paths=(
        "/etc/mdadm.conf",
        "/etc/mdadm.conf.d/*",
        "/etc/mdadm/mdadm.conf",
        "/etc/mdadm/mdadm.conf.d/*",
    ),
)
