"""Settings from which GRUB's and other boot loaders' configuration is made again."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="grub-defaults",
        title="settings that boot configuration is made from",
        why="the next update of GRUB would bring the old identifiers back",
        sources=(
            "https://www.gnu.org/software/grub/manual/grub/grub.html#Simple-configuration",
            "flash-kernel(8)",
            "u-boot-update(8)",
        ),
    ),
    paths=(
        "/etc/default/grub",
        "/etc/default/grub.d/*",
        "/etc/default/flash-kernel",
        "/etc/default/u-boot",
        "/etc/default/grub_installdevice",
        "/etc/sysconfig/grub",
        "/etc/sysconfig/grub2",
        "/etc/sysconfig/bootloader",
        "/etc/sysconfig/kernel",
        "/etc/update-extlinux.conf",
        "/etc/update-extlinux.d/*",
        "/etc/kernelstub/*",
        "/etc/lilo.conf",
        "/etc/elilo.conf",
        "/etc/grub.conf",
    ),
)
