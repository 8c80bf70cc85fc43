r"""UEFI boot entries: kept with the VM's definition, they name the ESP by its partition GUID.

A clone gets a copy of the firmware variables, or new ones. Either way the firmware finds a boot
loader at ``\EFI\BOOT\BOOTX64.EFI`` when no entry fits; without one there, the entry is all it has.

References: UEFI 2.10, 3.1.2 (load option processing), 3.5.1.1 (removable media boot behaviour),
10.3.5.1 (hard drive media device path).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.volumes import IdentifierKind
from unclone.sanitize.references.blocking import BlockingReference
from unclone.sanitize.renewal import Blocker
from unclone.sanitize.step import StepInfo, StepKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.step import PlanningContext

#: BOOTX64.EFI and its names on other architectures.
_FALLBACK = re.compile(r"boot(x64|ia32|aa64|arm|riscv64|loongarch64)\.efi", re.IGNORECASE)


def _find(context: PlanningContext) -> Sequence[Blocker]:
    guest = context.guest
    only_by_entry = {
        mount.device
        for mount in guest.layout.mounts_in_order
        if mount.type == "vfat" and _has_loaders(guest, mount.mount_point)
        if not _has_fallback(guest, mount.mount_point)
    }
    if not only_by_entry:
        return ()
    disks = {re.sub(r"\d+$", "", device) for device in only_by_entry}
    return [
        Blocker(
            each,
            "the firmware's boot entry names the EFI system partition by it, and there is no "
            r"loader at \EFI\BOOT to fall back to",
            "Install one there in the guest (grub-install --removable, bootctl install).",
        )
        for each in context.renewals.renewed
        if (each.kind is IdentifierKind.PARTITION_GUID and each.device in only_by_entry)
        or (each.kind is IdentifierKind.MBR_DISK_ID and each.device in disks)
    ]


def _has_loaders(guest: Guest, mount_point: str) -> bool:
    return bool(guest.glob(f"{mount_point}/[Ee][Ff][Ii]/*/*.[Ee][Ff][Ii]"))


def _has_fallback(guest: Guest, mount_point: str) -> bool:
    found = guest.glob(f"{mount_point}/[Ee][Ff][Ii]/[Bb][Oo][Oo][Tt]/*.[Ee][Ff][Ii]")
    return any(_FALLBACK.fullmatch(path.rsplit("/", 1)[-1]) for path in found)


REFERENCE = BlockingReference(
    info=StepInfo(
        id="firmware-boot-entries",
        title="the firmware's boot entries",
        why="they are not on the disk, and name the EFI system partition by its GUID",
        sources=("UEFI 2.10, 3.1.2 and 10.3.5.1", "efibootmgr(8)"),
        kind=StepKind.KEEP,
    ),
    find=_find,
)
