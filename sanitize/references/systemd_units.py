r"""systemd units: mounts, swaps and devices whose names and settings hold an identifier.

A device unit is called ``dev-disk-by\x2duuid-1111\x2d2222….device``: drop-in folders, ``.wants``
links and dependencies of other units use that name.

References: systemd.unit(5) ("String Escaping for Inclusion in Unit Names"), systemd.device(5).
"""

from __future__ import annotations

from unclone.sanitize.references.names import NameReference
from unclone.sanitize.step import StepInfo

REFERENCE = NameReference(
    info=StepInfo(
        id="systemd-units",
        title="systemd units",
        why="a unit that waits for a device which never comes holds up the boot for 90 seconds",
        sources=("systemd.unit(5)", "systemd.device(5)", "systemd.mount(5)", "systemd.swap(5)"),
    ),
    folders=(
        "/etc/systemd",
        "/usr/lib/systemd/system",
        "/usr/local/lib/systemd",
    ),
)
