"""File system checks, with a verdict from what the checker says of the file system as it is.

References: e2fsck(8) "EXIT CODE", xfs_repair(8) "EXIT STATUS", btrfs-check(8), fsck.fat(8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unclone.images.volumes import CheckResult, CheckState

if TYPE_CHECKING:
    from unclone.images.engines.guestfs.appliance import Appliance
    from unclone.images.engines.guestfs.devices import Device

#: Seconds; large file systems take long to check under software emulation.
LIMIT = 3600.0

#: Bytes of what a checker prints; a badly damaged file system can make it print without end.
WORDS = 200_000

#: Lines of it that are passed on.
_LINES = 12

#: Exit status of a shell that does not find the program.
_NOT_FOUND = 127

_MOUNT_POINT = "/run/unclone-check"


@dataclass(frozen=True, slots=True)
class _Checker:
    """Commands and which of their exit statuses mean that the file system is sound."""

    look: str
    repair: str
    repaired: tuple[int, ...] = (0,)


_EXT = _Checker("e2fsck -fn {node}", "e2fsck -fp {node}", (0, 1))

#: XFS replays its log when it is mounted, and only then; its checker does not.
_XFS = _Checker(
    "xfs_repair -n {node}",
    f"mkdir -p {_MOUNT_POINT}; mount -t xfs -o nouuid,nosuid,nodev,noexec {{node}} {_MOUNT_POINT}"
    f" && umount {_MOUNT_POINT} && xfs_repair -n {{node}}",
)

#: "-a" also takes away the mark of a file system that was not unmounted, which is no damage.
_VFAT = _Checker("fsck.vfat -n {node}", "fsck.vfat -a {node}", (0, 1))

_BTRFS = _Checker("btrfs check --readonly {node}", "btrfs check --readonly {node}")

_CHECKERS = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "xfs": _XFS,
    "vfat": _VFAT,
    "btrfs": _BTRFS,
}


def check(appliance: Appliance, device: Device, *, repair: bool) -> CheckResult:
    """Check the unmounted file system on *device*; with *repair* replay and fix it first."""
    checker = _CHECKERS.get(device.type)
    if checker is None:
        return CheckResult(device.name, device.type, CheckState.NOT_CHECKED, "no checker")
    command = (checker.repair if repair else checker.look).format(node=device.node)
    spoken = appliance.shell(
        f"{{ {command}; printf '\\nstatus=%s' $?; }} </dev/null 2>&1 | tail -c {WORDS}", limit=LIMIT
    )
    output, _, status = spoken.decode("utf-8", "replace").rpartition("\nstatus=")
    state = CheckState.DAMAGED
    if int(status) == _NOT_FOUND:
        state = CheckState.NOT_CHECKED
    elif int(status) in (checker.repaired if repair else (0,)):
        state = CheckState.CLEAN
    return CheckResult(device.name, device.type, state, _condensed(output))


def _condensed(words: str) -> str:
    """The first lines of what a checker said, without its banner, and the last."""
    lines = [line.strip() for line in words.splitlines()]
    kept = [line for line in lines if line and not re.match(r"e2fsck \d|fsck.fat \d", line)]
    shown = kept if len(kept) <= _LINES else [*kept[: _LINES - 3], "...", *kept[-2:]]
    return "; ".join(shown)
