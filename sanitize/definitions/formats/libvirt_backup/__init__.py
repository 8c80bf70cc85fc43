"""libvirt backup XML: not in the table of formats, because it is only read with a domain."""

from __future__ import annotations

from unclone.sanitize.definitions.definition import Format
from unclone.sanitize.definitions.text.xml_root import root_of


def detects(head: bytes) -> bool:
    """Whether the first element is a backup. ``--snapshot`` takes it with its domain."""
    return root_of(head) == "domainbackup"


FORMAT = Format("libvirt-backup", "libvirt backup XML", detects, __name__)
