"""Hyper-V: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

#: How a .vmcx file begins.
BINARY = bytes.fromhex("14202801")
#: XML up to Windows Server 2012 R2: <configuration> with <properties>, ids of type "string".
_SETTINGS = rb"<configuration[\s>]"
_IDS = rb"<(?:global_id|logical_id|vm_worker)\b"
#: .exp of Windows Server 2008: CIM instances of the virtualisation provider.
_INSTANCES = rb'"Msvm_[A-Za-z]+"'
_MARKS = (b"\xff\xfe", b"\xfe\xff")


def detects(head: bytes) -> bool:
    """Whether it is a .vmcx, an .exp, or the XML that Hyper-V had before .vmcx."""
    if head.startswith(BINARY):
        return True
    text = head.replace(b"\0", b"") if head[:2] in _MARKS or b"\0" in head[:4] else head
    is_xml = text.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] == b"<"
    settings = re.search(_SETTINGS, text) and re.search(_IDS, text)
    return is_xml and bool(settings or re.search(_INSTANCES, text))


FORMAT = Format(
    "hyperv", "Hyper-V (refused: use Import-VM -Copy -GenerateNewId)", detects, __name__
)
