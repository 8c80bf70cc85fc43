"""The EFI system partitions that proxmox-boot-tool keeps in step."""

from __future__ import annotations

from unclone.sanitize.references.reference import TextReference
from unclone.sanitize.step import StepInfo

REFERENCE = TextReference(
    info=StepInfo(
        id="proxmox-boot",
        title="Proxmox' list of EFI system partitions",
        why="proxmox-boot-tool copies kernels to the partitions named here",
        sources=("https://pve.proxmox.com/wiki/Host_Bootloader",),
    ),
    paths=("/etc/kernel/proxmox-boot-uuids",),
)
