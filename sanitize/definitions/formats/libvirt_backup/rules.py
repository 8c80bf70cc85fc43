"""The fields of a libvirt backup that belong to one machine.

References: libvirt "Backup XML format" (formatbackup.rst) and domainbackup.rng, 9.0 to 11.0.
"""

from __future__ import annotations

from unclone.sanitize.change import Level
from unclone.sanitize.definitions.rule import FieldKind, Treatment, rules

RULES = rules(
    "https://libvirt.org/formatbackup.html",
    (
        "backup-file",
        FieldKind.FILE,
        Treatment.FOLLOW,
        ("disks/disk/target/@file", "disks/disk/scratch/@file"),
        "both machines' backups would be written into one file",
    ),
    (
        "backup-device",
        FieldKind.OTHER,
        Treatment.KEEP,
        ("disks/disk/target/@dev", "disks/disk/scratch/@dev"),
        "both machines' backups would be written to one device: give the new one another",
        Level.WARNING,
    ),
    (
        "backup-port",
        FieldKind.PORT,
        Treatment.RENEW,
        "server/@port",
        "the host's port is taken while the source is backed up",
    ),
    (
        "backup-socket",
        FieldKind.SOCKET,
        Treatment.FOLLOW,
        "server/@socket",
        "the second listener takes it from the first",
    ),
    (
        "backup-base",
        FieldKind.OTHER,
        Treatment.KEEP,
        "incremental",
        "the new machine has no such checkpoint unless its XML is redefined, too",
        Level.WARNING,
    ),
)
