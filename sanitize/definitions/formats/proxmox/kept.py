"""Places of a qemu-server configuration that are called as identities are, and stay without a word.

References: pve-qemu-server src/PVE/QemuServer.pm (9.0).
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (
    Kept(
        "the disk: a field of its own, or one that another word of it names",
        (
            "scsi#/file",
            "virtio#/file",
            "sata#/file",
            "ide#/file",
            "efidisk#/file",
            "tpmstate#/file",
        ),
    ),
    Kept(
        "how the guest's hardware is made",
        (
            "smbios1/manufacturer",
            "hostpci#/*",
            "intel-tdx/*",
            "amd-sev/*",
            "usb#/*",
            "affinity",
            "numa#/*",
            "cpu/*",
            "machine/*",
            "audio#/*",
            "vga/*",
        ),
    ),
    Kept(
        "an address inside the guest's network",
        (
            "nameserver",
            "searchdomain",
        ),
    ),
)

#: Places of rules that do not say a word where their condition is not met.
UNMET = (Kept("Proxmox calls the socket by the machine's number", ("serial#",)),)
