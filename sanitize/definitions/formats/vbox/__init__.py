"""VirtualBox .vbox: how a file of this format is recognised."""

from __future__ import annotations

from unclone.sanitize.definitions.definition import Format
from unclone.sanitize.definitions.text.xml_root import root_of


def detects(head: bytes) -> bool:
    """Whether the first element is VirtualBox's."""
    return root_of(head) == "VirtualBox"


FORMAT = Format("vbox", "VirtualBox .vbox", detects, __name__)
