"""File systems that the guest's fstab does not name, and that a boot loader may read.

A FAT file system is perhaps its EFI system partition; of others, the boot files were seen. What is
on them does not follow, and is where boot loaders keep the identifiers of what they boot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.sanitize.step import PlanningContext

#: What a boot loader's configuration refers to.
_BOOTED_BY = {
    IdentifierKind.FILE_SYSTEM_UUID,
    IdentifierKind.PARTITION_GUID,
    IdentifierKind.MBR_DISK_ID,
    IdentifierKind.LUKS_UUID,
    IdentifierKind.LVM_VG_UUID,
    IdentifierKind.MD_UUID,
    IdentifierKind.SWAP_UUID,
}


def _find(context: PlanningContext) -> Sequence[Blocker]:
    guest = context.guest
    mounted = {mount.device for mount in guest.layout.mounts_in_order}
    boots = guest.layout.unmounted_boots
    hidden = [
        fs
        for fs in guest.file_systems()
        if fs.device not in mounted and (fs.type == "vfat" or fs.device in boots)
    ]
    if not hidden:
        return ()
    return [
        Blocker(
            each,
            f"{hidden[0].device} ({hidden[0].type}) is not mounted by the guest, and a boot "
            "loader on it may refer to this",
            "Name it in the guest's fstab (noauto is enough).",
        )
        for each in context.renewals.renewed
        if each.kind in _BOOTED_BY
    ]


REFERENCE = BlockingReference(
    info=StepInfo(
        id="unmounted-boot",
        title="boot file systems that the guest does not mount",
        why="what a boot loader on them refers to could not follow",
        sources=("systemd-gpt-auto-generator(8)", "fstab(5)"),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
