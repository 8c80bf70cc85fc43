"""What a domain has on this host: a running process, a saved state.

Names come from the definition, which may be hostile.

References: libvirt src/qemu/qemu_conf.c (where the driver keeps its files).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.definitions.definition import Active

if TYPE_CHECKING:
    from unclone.sanitize.definitions.text.source import Source

#: Where the system's libvirt has its definitions, saved states and running machines.
SYSTEM = Path("/etc/libvirt/qemu")
SYSTEM_SAVED = Path("/var/lib/libvirt/qemu/save")
SYSTEM_RUNNING = Path("/run/libvirt/qemu")


def activity(source: Source, name: str) -> Active | None:
    """Whether the machine called *name*, defined in *source*, runs or is saved on this host."""
    folder = source.path.parent.resolve()
    running, saved = [], [folder, folder / "save"]
    if folder == SYSTEM:
        running, saved = [SYSTEM_RUNNING], [*saved, SYSTEM_SAVED]
    elif runtime := os.environ.get("XDG_RUNTIME_DIR"):
        running = [Path(runtime) / "libvirt/qemu/run"] if folder.name == "qemu" else []
    if "/" in name or "\0" in name:
        return None
    for place in running:
        if _is_there(place / f"{name}.pid"):
            return Active(f"it is running ({printable(str(place / name))}.pid)", running=True)
    for place in saved:
        if _is_there(state := place / f"{name}.save"):
            return Active(f"{printable(str(state))} holds its saved state", running=False)
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # not readable: libvirt itself refuses to start the machine then
