"""What initramfs-tools, dracut, mkinitcpio and mkinitfs read when they make an initrd."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="initramfs-settings",
        title="settings that initrds are made from",
        why="RESUME= and root= in them end up in the next initrd",
        sources=(
            "initramfs.conf(5)",
            "dracut.conf(5)",
            "mkinitcpio.conf(5)",
        ),
    ),
    paths=(
        "/etc/initramfs-tools/*",
        "/etc/initramfs-tools/conf.d/*",
        "/etc/initramfs-tools/scripts/*/*",
        "/etc/initramfs-tools/hooks/*",
        "/etc/dracut.conf",
        "/etc/dracut.conf.d/*",
        "/etc/mkinitcpio.conf",
        "/etc/mkinitcpio.conf.d/*",
        "/etc/mkinitcpio.d/*",
        "/etc/mkinitfs/*.conf",
        "/etc/booster.yaml",
        "/etc/cryptsetup-initramfs/*",
        "/etc/suspend.conf",
        "/etc/uswsusp.conf",
    ),
)
