"""What boot configuration, command lines and initrds are made from again.

To add a kind of text, copy a row.
"""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCES = (
    # Command lines from which kernel-install, mkinitcpio and similar tools make boot entries.
    TextReference(
        info=StepInfo(
            id="kernel-command-line",
            title="kernel command line of later kernels",
            why="the next kernel's boot entry or unified image is made from it",
            sources=(
                "kernel-install(8)",
                "mkinitcpio(8)",
                "https://bootc-dev.github.io/bootc/building/kernel-arguments.html",
            ),
        ),
        paths=(
            "/etc/kernel/cmdline",
            "/usr/lib/kernel/cmdline",
            "/usr/lib/kernel/cmdline-*",
            "/usr/share/kernel/cmdline.d/*",
            "/etc/cmdline",
            "/etc/cmdline.d/*",
            "/etc/kernel/*.conf",
            "/etc/kernel/cmdline.d/*",
            "/etc/kernel/*.d/*",
            "/etc/tuned/bootcmdline",
            "/etc/kernelstub/configuration",
            "/usr/lib/kernel/*.conf",
            "/usr/lib/kernel/*.d/*",
            "/usr/lib/bootc/kargs.d/*",
        ),
    ),
    # Settings from which GRUB's and other boot loaders' configuration is made again.
    TextReference(
        info=StepInfo(
            id="grub-defaults",
            title="settings that boot configuration is made from",
            why="the next update of GRUB would bring the old identifiers back",
            sources=(
                "https://www.gnu.org/software/grub/manual/grub/grub.html#Simple-configuration",
                "flash-kernel(8)",
                "u-boot-update(8)",
                "nixos-generate-config(8)",
                "https://github.com/open-power/petitboot",
            ),
        ),
        paths=(
            "/etc/default/grub",
            "/etc/default/grub.d/*",
            "/etc/default/flash-kernel",
            "/etc/default/u-boot",
            "/etc/u-boot-menu/conf.d/*",
            "/usr/share/u-boot-menu/conf.d/*",
            "/etc/nixos/*.nix",
            "/etc/nixos/*/*.nix",
            "/etc/default/grub_installdevice",
            "/etc/sysconfig/grub",
            "/etc/sysconfig/grub2",
            "/etc/sysconfig/bootloader",
            "/etc/sysconfig/kernel",
            "/etc/update-extlinux.conf",
            "/etc/update-extlinux.d/*",
            "/etc/kernelstub/*",
            "/etc/sdboot-manage.conf",
            "/etc/lilo.conf",
            "/etc/elilo.conf",
            "/etc/kboot.c*nf",
            "/etc/silo.conf",
            "/etc/yaboot.conf",
            "/kboot.c*nf",
            "/petitboot.conf",
            "/yaboot.conf",
            "/etc/grub.conf",
        ),
    ),
    # What initramfs-tools, dracut, mkinitcpio and mkinitfs read when they make an initrd.
    TextReference(
        info=StepInfo(
            id="initramfs-settings",
            title="settings that initrds are made from",
            why="RESUME= and root= in them end up in the next initrd",
            sources=(
                "initramfs.conf(5)",
                "dracut.conf(5)",
                "mkinitcpio.conf(5)",
                "https://launchpad.net/cloud-initramfs-tools",
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
            "/etc/mkinitfs/features.d/*",
            "/usr/share/initramfs-tools/conf.d/*",
            "/etc/initcpio/*/*",
            "/usr/lib/dracut/dracut.conf.d/*",
            "/etc/booster.yaml",
            "/etc/cryptsetup-initramfs/*",
            "/etc/suspend.conf",
            "/etc/overlayroot*.conf",
            "/etc/uswsusp.conf",
            "/etc/genkernel.conf",
            "/etc/ugrd/*",
        ),
    ),
    # The EFI system partitions that proxmox-boot-tool keeps in step.
    TextReference(
        info=StepInfo(
            id="proxmox-boot",
            title="Proxmox' list of EFI system partitions",
            why="proxmox-boot-tool copies kernels to the partitions named here",
            sources=("https://pve.proxmox.com/wiki/Host_Bootloader",),
        ),
        paths=("/etc/kernel/proxmox-boot-uuids",),
    ),
)
