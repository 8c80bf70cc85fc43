"""Services that mount, export, watch or back up file systems."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="storage-settings",
        title="settings of storage services",
        why="automounters, exports and backups name file systems by UUID",
        sources=(
            "udisks(8)",
            "autofs(5)",
            "exports(5)",
            "pam_mount.conf(5)",
            "smartd.conf(5)",
        ),
    ),
    paths=(
        "/etc/udisks2/*",
        "/etc/auto.*",
        "/etc/auto.master.d/*",
        "/etc/autofs/*",
        "/etc/autofs.conf",
        "/etc/exports",
        "/etc/exports.d/*",
        "/etc/smartd.conf",
        "/etc/smartmontools/*",
        "/etc/security/pam_mount.conf.xml",
        "/etc/mtools.conf",
        "/etc/hdparm.conf",
        "/etc/timeshift/timeshift.json",
        "/etc/timeshift.json",
        "/etc/kdump.conf",
        "/etc/sysconfig/kdump",
        "/etc/default/kdump-tools",
        "/etc/zfs/*",
        "/etc/stratis/*",
        "/etc/snapraid.conf",
        "/etc/tmpfiles.d/*",
        "/etc/sysctl.d/*",
        "/etc/default/zramswap",
        "/etc/systemd-swap.conf",
        "/etc/btrbk/*",
        "/etc/bees/*",
        "/etc/default/btrfsmaintenance",
        "/etc/sysconfig/btrfsmaintenance",
    ),
)
