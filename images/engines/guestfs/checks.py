"""File system checks with the checker of each type, whose exit status decides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.engines.guestfs.mounting import mount_command
from unclone.images.file_systems.table import type_of
from unclone.images.volumes import CheckResult, CheckState

if TYPE_CHECKING:
    from unclone.images.engines.guestfs.appliance import Appliance
    from unclone.images.engines.guestfs.devices import Device

#: Seconds; large file systems take long to check under software emulation.
LIMIT = 3600.0

#: Bytes kept of a checker's output, which has no limit for a badly damaged file system.
_OUTPUT = 200_000

#: Lines of it in a result.
_LINES = 12

#: Exit status of a shell that does not find the program.
_NOT_FOUND = 127

_MOUNT_POINT = "/run/unclone-check"


def check(appliance: Appliance, device: Device, *, repair: bool) -> CheckResult:
    """As :meth:`unclone.images.volumes.Volumes.check`. Raises EngineError."""
    kind = type_of(device.type)
    checker = kind.checker
    if checker is None:
        return CheckResult(device.name, device.type, CheckState.NOT_CHECKED, "no checker")
    argv = (checker.repair if repair else ()) or checker.check
    command = f"{' '.join(argv)} {device.node}"
    if repair and checker.mount_first:
        mount = mount_command(kind, device.node, _MOUNT_POINT)
        command = f"{mount} && umount {_MOUNT_POINT} && {command}"
    output = appliance.shell(
        f"{{ {command}; printf '\\nstatus=%s' $?; }} </dev/null 2>&1 | tail -c {_OUTPUT}",
        limit=LIMIT,
    )
    text, _, status = output.decode("utf-8", "replace").rpartition("\nstatus=")
    state = CheckState.DAMAGED
    if int(status) == _NOT_FOUND:
        state = CheckState.NOT_CHECKED
    elif int(status) in (checker.repaired if repair else (0,)):
        state = CheckState.CLEAN
    return CheckResult(device.name, device.type, state, _condensed(text))


def _condensed(text: str) -> str:
    """The first and the last lines of a checker's output, without its banner."""
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not re.match(r"e2fsck \d|fsck.fat \d", line)]
    shown = kept if len(kept) <= _LINES else [*kept[: _LINES - 3], "...", *kept[-2:]]
    return "; ".join(shown)
