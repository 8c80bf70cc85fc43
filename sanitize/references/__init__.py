"""References to the identifiers of devices: one file per kind of place that holds them.

To add a kind, copy one of the files beside this one and add it to the table. The order is that of
the changes: contents before names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.references import (
    board_environment,
    boot_fallback_list,
    boot_loader_entries,
    coreos_root_uuid,
    crypttab,
    efi_folders,
    efi_programs,
    esp_grub_cfg,
    evm,
    extlinux,
    firmware_boot_entries,
    fstab,
    grub_cfg,
    grub_core,
    grub_defaults,
    grub_load_cfg,
    grubenv,
    initramfs_settings,
    initrd,
    kernel_command_line,
    key_files,
    limine,
    lvm_settings,
    mdadm_conf,
    proxmox_boot,
    raspberry_pi,
    refind,
    snapshots,
    storage_settings,
    systemd_units,
    uboot_images,
    udev_rules,
    unmounted,
    verity,
    zipl_bootmap,
)

if TYPE_CHECKING:
    from unclone.sanitize.references.reference import Reference

REFERENCES: tuple[Reference, ...] = (
    fstab.REFERENCE,
    crypttab.REFERENCE,
    grub_cfg.REFERENCE,
    esp_grub_cfg.REFERENCE,
    grub_load_cfg.REFERENCE,
    grubenv.REFERENCE,
    boot_loader_entries.REFERENCE,
    boot_fallback_list.REFERENCE,
    extlinux.REFERENCE,
    limine.REFERENCE,
    refind.REFERENCE,
    raspberry_pi.REFERENCE,
    board_environment.REFERENCE,
    coreos_root_uuid.REFERENCE,
    kernel_command_line.REFERENCE,
    grub_defaults.REFERENCE,
    initramfs_settings.REFERENCE,
    mdadm_conf.REFERENCE,
    lvm_settings.REFERENCE,
    proxmox_boot.REFERENCE,
    udev_rules.REFERENCE,
    storage_settings.REFERENCE,
    initrd.REFERENCE,
    efi_programs.REFERENCE,
    uboot_images.REFERENCE,
    grub_core.REFERENCE,
    zipl_bootmap.REFERENCE,
    firmware_boot_entries.REFERENCE,
    unmounted.REFERENCE,
    verity.REFERENCE,
    evm.REFERENCE,
    snapshots.REFERENCE,
    systemd_units.REFERENCE,
    efi_folders.REFERENCE,
    key_files.REFERENCE,
)
