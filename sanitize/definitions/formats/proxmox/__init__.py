"""Proxmox VE qemu-server configuration: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format
from unclone.sanitize.definitions.text.source import HEAD

_LINE = rb"#.*|\[[\w:-]+\]\s*|[a-z][a-z_-]*\d*:([ \t]+\S.*|\s*)|\s*"
#: Keys that name what only Proxmox has, or that it always writes.
_TELLING = (
    rb"(?m)^(?:scsihw|ostype|smbios1|vmgenid|bootdisk|efidisk0|tpmstate0|numa|sockets|agent|onboot|"
    rb"net\d+|(?:scsi|virtio|sata|ide|unused)\d+):[ \t]"
)
_CONTAINER = rb"(?m)^(?:rootfs|lxc\.[\w.]+|hostname|unprivileged):"


def detects(head: bytes) -> bool:
    """Whether every line is one of Proxmox's, and two keys are."""
    if len(head) == HEAD:
        head = head.rpartition(b"\n")[0]
    if re.search(_CONTAINER, head) or len(set(re.findall(_TELLING, head))) < 2:
        return False
    return all(re.fullmatch(_LINE, line) for line in head.splitlines())


FORMAT = Format("proxmox", "Proxmox VE qemu-server configuration", detects, __name__)
