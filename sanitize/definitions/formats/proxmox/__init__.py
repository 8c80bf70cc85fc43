"""Proxmox VE qemu-server configuration: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format
from unclone.sanitize.definitions.text.source import HEAD

_LINE = re.compile(rb"#.*|\[[\w:-]+\]\s*|[a-z][a-z_]*\d*:([ \t]+\S.*|\s*)|\s*")
#: Keys that name what only Proxmox has, or that it always writes.
_TELLING = re.compile(
    rb"^(?:scsihw|ostype|smbios1|vmgenid|bootdisk|efidisk0|tpmstate0|numa|sockets|agent|onboot|"
    rb"net\d+|(?:scsi|virtio|sata|ide|unused)\d+):[ \t]",
    re.MULTILINE,
)
_CONTAINER = re.compile(rb"^(?:rootfs|lxc\.[\w.]+|arch|hostname):", re.MULTILINE)


def detects(head: bytes) -> bool:
    """Whether every line is one of Proxmox's, and two keys are."""
    if len(head) == HEAD:
        head = head.rpartition(b"\n")[0]
    if _CONTAINER.search(head) or len(set(_TELLING.findall(head))) < 2:
        return False
    return all(_LINE.fullmatch(line) for line in head.splitlines())


FORMAT = Format("proxmox", "Proxmox VE qemu-server configuration", detects, __name__)
