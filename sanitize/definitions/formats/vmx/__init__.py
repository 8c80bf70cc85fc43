"""VMware .vmx: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

#: Settings that every .vmx has one of, and nothing else has.
_TELLING = (
    rb"(?mi)^[ \t]*(?:config\.version|virtualHW\.version|virtualHW\.productCompatibility|"
    rb'displayName|guestOS|uuid\.bios|encryption\.keySafe)[ \t]*=[ \t]*"'
)


def detects(head: bytes) -> bool:
    """Whether two of VMware's own settings are there, each on a line of its own."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.lstrip()[:1] in (b"<", b"{"):
        return False
    return len({found[0].lower() for found in re.finditer(_TELLING, head)}) > 1


FORMAT = Format("vmx", "VMware .vmx", detects, __name__)
