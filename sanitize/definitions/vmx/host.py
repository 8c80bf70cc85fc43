"""What a VMware machine has beside its .vmx: locks of a running one, a saved state, its NVRAM.

Names come from the definition, which may be hostile: files are looked at only in its own folder,
and only what is VMware's is ever copied.

References: VMware knowledge base 10051 (lock files); the files Workstation and ESXi make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from images.text import printable
from sanitize.definitions.definition import Active

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sanitize.definitions.source import Source
    from sanitize.definitions.vmx.settings import Setting

_NVRAM_SIGNATURE = b"MRVN"


def activity(source: Source, settings: Mapping[str, Setting]) -> Active | None:
    """Whether the machine in *source* runs or is suspended."""
    path = source.path
    state = settings.get("checkpoint.vmstate")
    if state is not None and state.value:
        return Active(f"{printable(state.value, 200)} holds its saved state", running=False)
    swap = settings.get("sched.swap.derivedname")
    names = [f"{path.name}.lck", f"{path.stem}.lck"]
    if swap is not None and swap.value:
        names.append(swap.value.rpartition("/")[2])
    names += [
        f"{setting.value}.lck" for name, setting in settings.items() if name.endswith(".filename")
    ]
    for name in names:
        if _is_beside(path, name):
            words = f"it is running, or was when its host crashed ({printable(name, 200)} is there)"
            return Active(words, running=True)
    for name in (f"{path.stem}.vmss", f"{path.stem}.vmem"):
        if _is_beside(path, name):
            return Active(f"{name} beside it holds its saved state", running=False)
    return None


def variables(path: Path, name: str) -> tuple[bool, str]:
    """Whether NVRAM file *name* beside the .vmx can be copied; else what a person should know."""
    shown = printable(name, 200)
    lost = "without its copy the new machine starts with empty variables"
    if not _is_plain(name):
        return False, f"{shown} is not in the machine's own folder and is not copied: {lost}"
    try:
        with (path.parent / name).open("rb") as file:
            head = file.read(len(_NVRAM_SIGNATURE))
    except FileNotFoundError:
        return False, f"{shown} is not beside the definition: {lost}"
    except OSError as error:
        return False, f"cannot read {shown}: {error.strerror}: {lost}"
    if head != _NVRAM_SIGNATURE:
        return False, f"{shown} is no NVRAM of VMware and is not copied"
    return True, ""


def _is_beside(path: Path, name: str) -> bool:
    try:
        return _is_plain(name) and (path.parent / name).exists()
    except OSError:
        return False  # a name too long to be there


def _is_plain(name: str) -> bool:
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name
