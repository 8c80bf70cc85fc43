"""What a VMware machine has beside its .vmx: locks of a running one, a saved state, its NVRAM.

References: VMware knowledge base 10051 (lock files); the files Workstation and ESXi make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.definitions.definition import Active
from unclone.sanitize.definitions.firmware_variables import is_beside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.sanitize.definitions.formats.vmx.settings import Setting
    from unclone.sanitize.definitions.text.source import Source

NVRAM_SIGNATURES = ((0, b"MRVN"),)


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
        if is_beside(path, name):
            message = (
                f"it is running, or was when its host crashed ({printable(name, 200)} is there)"
            )
            return Active(message, running=True)
    for name in (f"{path.stem}.vmss", f"{path.stem}.vmem"):
        if is_beside(path, name):
            return Active(f"{name} beside it holds its saved state", running=False)
    return None
