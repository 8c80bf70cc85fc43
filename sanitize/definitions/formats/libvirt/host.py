"""What a domain has on this host: a running process, a saved state, its UEFI variables.

Names and paths come from the definition, which may be hostile: files are looked at, and only a
UEFI variable store is ever copied.

References: libvirt src/qemu/qemu_conf.c (where the driver keeps its files); UEFI Platform
Initialization Specification, volume 3, 3.2.1 (EFI_FIRMWARE_VOLUME_HEADER: "_FVH" at byte 40).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.change import Level, Note
from unclone.sanitize.definitions.definition import Active

if TYPE_CHECKING:
    from unclone.sanitize.definitions.text.source import Source

#: Where the system's libvirt has its definitions, saved states and running machines.
SYSTEM = Path("/etc/libvirt/qemu")
SYSTEM_SAVED = Path("/var/lib/libvirt/qemu/save")
SYSTEM_RUNNING = Path("/run/libvirt/qemu")

_STORE_SIGNATURE = (40, b"_FVH")
_QCOW2_SIGNATURE = (0, b"QFI\xfb")


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


def variables(path: str) -> tuple[bool, Note | None]:
    """Whether the UEFI variables at *path* can be copied; else what a person should know."""
    shown = printable(path, 200)
    lost = "without its copy the new machine starts with empty UEFI variables"
    if not path.startswith("/") or "\0" in path:
        return False, Note("nvram", Level.WARNING, f"{shown} is no path of this host: {lost}")
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        return False, Note("nvram", Level.WARNING, f"{shown} is not on this host: {lost}")
    except OSError as error:
        words = f"cannot read {shown}: {error.strerror}: {lost}"
        return False, Note("nvram", Level.WARNING, words)
    for offset, signature in (_STORE_SIGNATURE, _QCOW2_SIGNATURE):
        if head[offset:].startswith(signature):
            return True, None
    return False, Note("nvram", Level.WARNING, f"{shown} holds no UEFI variables and is not copied")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # nobody may look there; libvirt itself refuses to start it then
