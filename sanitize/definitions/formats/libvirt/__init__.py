"""libvirt domain XML: how a file of this format is recognised."""

from __future__ import annotations

from unclone.sanitize.definitions.definition import Format
from unclone.sanitize.definitions.text.xml_root import root_of


def detects(head: bytes) -> bool:
    """Whether the first element is a libvirt domain, or what libvirt wraps one in."""
    return root_of(head) in {"domain", "domainsnapshot", "domaincheckpoint", "domstatus"}


FORMAT = Format("libvirt", "libvirt domain XML", detects, __name__)
