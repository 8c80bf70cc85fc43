"""The identifiers of devices, one file per kind. The order is the order in which they are set.

What is inside comes before what it is in: a file system before the volume group it is on, that
before the disk. To add a kind, copy one of the files beside this one and add a line to the table;
the engines set it (``images/identifiers/``).
"""

from __future__ import annotations

from unclone.sanitize.identifiers import (
    disk_guid,
    file_system_uuid,
    luks_uuid,
    lvm_pv_uuid,
    lvm_vg_uuid,
    mbr_disk_id,
    md_uuid,
    partition_guid,
    swap_uuid,
    vfat_serial,
)

STEPS = (
    file_system_uuid.STEP,
    swap_uuid.STEP,
    vfat_serial.STEP,
    lvm_vg_uuid.STEP,
    lvm_pv_uuid.STEP,
    luks_uuid.STEP,
    md_uuid.STEP,
    partition_guid.STEP,
    disk_guid.STEP,
    mbr_disk_id.STEP,
)
