"""vm-bhyve configuration: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_OWN = rb"(?m)^(?:disk|network)\d+_(?:name|type|dev|switch|mac)="
_LOADER = rb"(?m)^(?:loader|uefi|guest|cpu|memory|uuid)="
#: Scripts, and files with groups or other ways of assignment.
_NOT = rb"(?m)\A\s*(?:#!|<|\{|\[)|^[ \t]*(?:cat|if|qemu-\S+|bhyve)[ \t]"


def detects(head: bytes) -> bool:
    """Whether it has a disk or a card as vm-bhyve names them, and a machine's setting."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    return bool(re.search(_OWN, text) and re.search(_LOADER, text)) and not re.search(_NOT, text)


FORMAT = Format("vm-bhyve", "vm-bhyve configuration", detects, __name__)
