"""References to the identifiers of devices: every kind of place that holds them.

A kind that is only texts is a row in ``storage_files``, ``boot_files`` or ``boot_settings``, and
one that is names is a row in ``names``: copy a row to add one. A kind that needs code is a module:
copy one, and add it to the table. The order is that of the changes: contents before names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.sanitize.references import (
    boot_files,
    boot_settings,
    built_in,
    disk_names,
    efi_programs,
    evm,
    firmware_boot_entries,
    grub_core,
    initrd,
    names,
    scripts,
    snapshots,
    storage_files,
    uboot_environment,
    uboot_images,
    unmounted,
    verity,
    zipl_bootmap,
)

if TYPE_CHECKING:
    from unclone.sanitize.references.reference import Reference

REFERENCES: tuple[Reference, ...] = (
    *storage_files.REFERENCES,
    *boot_files.REFERENCES,
    *boot_settings.REFERENCES,
    *scripts.REFERENCES,
    initrd.REFERENCE,
    efi_programs.REFERENCE,
    uboot_images.REFERENCE,
    uboot_environment.REFERENCE,
    grub_core.REFERENCE,
    zipl_bootmap.REFERENCE,
    built_in.REFERENCE,
    firmware_boot_entries.REFERENCE,
    unmounted.REFERENCE,
    verity.REFERENCE,
    evm.REFERENCE,
    snapshots.REFERENCE,
    disk_names.REFERENCE,
    *names.REFERENCES,
)
