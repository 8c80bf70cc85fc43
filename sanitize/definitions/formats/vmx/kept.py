"""Places of a .vmx that are called as identities are, and stay without a word.

References: the files that VMware Workstation 17 and ESXi 8 write.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "which network the card is on",
        (
            "ethernet#.dvs.switchId",
            "ethernet#.dvs.portgroupId",
            "ethernet#.opaqueNetwork.id",
            "ethernet#.addressType",
            "ethernet#.checkMACAddress",
        ),
    ),
    Kept("when the source was made", ("vm.createDate",)),
    Kept(
        "what kind of device it is",
        (
            "serial#.*",
            "parallel#.*",
            "disk.EnableUUID",
            "*.deviceType",
            "*.pciSlotNumber",
            "usb*.present",
            *("usb*:#.deviceType", "usb*:#.port", "usb*:#.parent", "usb*:#.present"),
            "hpet#.*",
            "sata#:#.clientDevice",
            "floppy#.*",
        ),
    ),
    Kept(
        "how it starts, and what it is allowed",
        (
            "uuid.action",
            "serialNumber.reflectHost",
            "isolation.*",
            "monitor*",
            "sched.*",
            "tools.*",
            "toolScripts.*",
            "gui.*",
            "svga.*",
            "vmci#.*",
            "bios*",
            "efi*",
            "firmware*",
            "virtualHW.*",
            "config.version",
            "guestOS*",
            "vhv.*",
            "cpuid.*",
            "numa.*",
            "keyboardAndMouseProfile",
            "vmx.*",
            "log.*",
        ),
    ),
    Kept(
        "which program or server it works with: the id of it is in the report",
        (
            "hbr_filter.*",
            "scsi#:#.hbr_filter.*",
            "sata#:#.hbr_filter.*",
            "scsi#:#.filters",
            "ethernet#.filter#.name",
            "ethernet#.pxm.*",
        ),
    ),
)
